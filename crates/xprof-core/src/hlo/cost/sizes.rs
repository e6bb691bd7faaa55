//! Bytes and element counts of shapes, as the cost model counts them.

use super::Path;
use crate::hlo::shape::{ArrayShape, PrimitiveType, Shape};

/// Bytes of a pointer: what a tuple holds per element.
const POINTER_BYTES: i64 = 8;

/// Bytes of an array; 0 without a layout, because then it has no place in memory.
pub(super) fn array_bytes(array: &ArrayShape) -> i64 {
    let Some(layout) = &array.layout else { return 0 };
    let n = array.n_elements();
    if layout.element_size_in_bits > 0 {
        let bits = n.unsigned_abs().saturating_mul(layout.element_size_in_bits.unsigned_abs());
        return bits.div_ceil(8).cast_signed();
    }
    n.saturating_mul(element_bytes(array.element))
}

/// Bytes of one element; elements below a byte take a whole one.
pub(super) fn element_bytes(element: PrimitiveType) -> i64 {
    i64::from(element.bits().div_ceil(8))
}

/// Bytes of a value: of a tuple only its table of pointers.
pub(super) fn bytes(shape: &Shape) -> i64 {
    match shape {
        Shape::Array(array) => array_bytes(array),
        Shape::Tuple(elements) => POINTER_BYTES * elements.len() as i64,
        Shape::Token => 0,
        Shape::Opaque | Shape::Buffer(_) => POINTER_BYTES,
    }
}

/// Bytes of all leaves of a value.
pub(super) fn leaf_bytes(shape: &Shape) -> f32 {
    let mut bytes = 0.0f32;
    shape.each_leaf(&mut |leaf| bytes += self::bytes(leaf) as f32);
    bytes
}

/// Calls `visit` with every leaf and the way to it. Shapes are nested as deeply as protobuf allows at most.
pub(super) fn each_leaf_path(shape: &Shape, path: &mut Path, visit: &mut dyn FnMut(&Path, &Shape)) {
    if let Shape::Tuple(elements) = shape {
        for (n, element) in elements.iter().enumerate() {
            path.push(n as u32);
            each_leaf_path(element, path, visit);
            path.pop();
        }
    } else {
        visit(path, shape);
    }
}

/// The memory space of a leaf; 0 is the main memory.
pub(super) fn memory_space(leaf: &Shape) -> i64 {
    leaf.as_array().and_then(|array| array.layout.as_ref()).map_or(0, |layout| layout.memory_space)
}

/// The leaf that holds the result proper: the value itself or the first element of a tuple.
pub(super) fn first_array(shape: &Shape) -> Option<&ArrayShape> {
    match shape {
        Shape::Tuple(elements) => elements.first().and_then(Shape::as_array),
        other => other.as_array(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::shape::Layout;

    fn check(element: PrimitiveType, dims: &[i64], bits: i64, expect: i64) {
        let layout = Some(Box::new(Layout { element_size_in_bits: bits, ..Layout::default() }));
        let array = ArrayShape { element, dims: dims.into(), dynamic: smallvec::SmallVec::new(), layout };
        assert_eq!(bytes(&Shape::Array(array)), expect);
    }

    #[test]
    fn counts_bytes() {
        check(PrimitiveType::F32, &[3, 5], 0, 60);
        check(PrimitiveType::S4, &[3], 0, 3);
        check(PrimitiveType::S4, &[3], 4, 2);
        check(PrimitiveType::F64, &[i64::MAX, 8], 0, i64::MAX);
        assert_eq!(bytes(&Shape::Tuple(vec![Shape::Token; 3])), 24);
    }
}
