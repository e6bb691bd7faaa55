//! Shapes and layouts as text.

use super::writer::Writer;
use crate::hlo::shape::{ArrayShape, Layout, PrimitiveType, Shape, UNBOUNDED};

/// Appends a shape. Values of several parts get a mark before every fifth, so that people can count.
pub(crate) fn shape(out: &mut Writer, shape: &Shape, with_layout: bool) {
    match shape {
        Shape::Array(array) => array_shape(out, array, with_layout),
        Shape::Tuple(elements) => {
            out.push("(");
            self::elements(out, elements, |out, element| self::shape(out, element, with_layout));
            out.push(")");
        }
        Shape::Token => out.push("token[]"),
        Shape::Opaque => out.push("opaque[]"),
        Shape::Buffer(inner) => {
            out.push("b(");
            self::shape(out, inner, with_layout);
            out.push(")");
        }
    }
}

/// Appends items separated by commas, with `/*index=N*/` before every fifth.
pub(crate) fn elements<T>(out: &mut Writer, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Writer, T)) {
    let mut n = 0;
    out.list("", items, |out, item| {
        if n > 0 {
            out.push(", ");
            if n % 5 == 0 {
                out.format(format_args!("/*index={n}*/"));
            }
        }
        n += 1;
        one(out, item);
    });
}

fn array_shape(out: &mut Writer, array: &ArrayShape, with_layout: bool) {
    out.push(array.element.name());
    out.push("[");
    let mut at = 0;
    out.list(",", &array.dims, |out, &dim| {
        if dim == UNBOUNDED {
            out.push("?");
        } else {
            out.push(if array.is_dynamic(at) { "<=" } else { "" });
            out.int(dim);
        }
        at += 1;
    });
    out.push("]");
    if let Some(layout) = array.layout.as_deref()
        && with_layout
        && (!array.dims.is_empty() || has_properties(layout))
    {
        self::layout(out, layout);
    }
}

/// Whether a layout says more than the order of dimensions.
fn has_properties(layout: &Layout) -> bool {
    !layout.tiles.is_empty()
        || layout.tail_padding_alignment != 1
        || layout.index_type != 0
        || layout.pointer_type != 0
        || layout.element_size_in_bits != 0
        || layout.memory_space != 0
        || !layout.split_configs.is_empty()
        || layout.physical_shape.is_some()
        || layout.dynamic_shape_metadata_prefix_bytes != 0
}

fn layout(out: &mut Writer, layout: &Layout) {
    out.push("{");
    out.list(",", &layout.minor_to_major, |out, &dim| out.int(dim));
    if has_properties(layout) {
        out.push(":");
    }
    if !layout.tiles.is_empty() {
        out.push("T");
    }
    for tile in &layout.tiles {
        out.push("(");
        out.list(",", tile, |out, &size| {
            if size == UNBOUNDED {
                out.push("*");
            } else {
                out.int(size);
            }
        });
        out.push(")");
    }
    if layout.tail_padding_alignment != 1 {
        out.format(format_args!("L({})", layout.tail_padding_alignment));
    }
    for (sign, number) in [("#", layout.index_type), ("*", layout.pointer_type)] {
        if number != 0 {
            let name = PrimitiveType::from_number(number).filter(|ty| ty.is_integral());
            out.format(format_args!("{sign}({})", name.map_or("invalid", PrimitiveType::name)));
        }
    }
    for (name, number) in [("E", layout.element_size_in_bits), ("S", layout.memory_space)] {
        if number != 0 {
            out.format(format_args!("{name}({number})"));
        }
    }
    if !layout.split_configs.is_empty() {
        out.push("SC");
        for (dimension, indices) in &layout.split_configs {
            out.format(format_args!("({dimension}:"));
            out.list(",", indices, |out, &index| out.int(index));
            out.push(")");
        }
    }
    if let Some(physical) = &layout.physical_shape {
        out.push("P(");
        shape(out, physical, true);
        out.push(")");
    }
    if layout.dynamic_shape_metadata_prefix_bytes != 0 {
        out.format(format_args!("M({})", layout.dynamic_shape_metadata_prefix_bytes));
    }
    out.push("}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(dims: &[i64], layout: Option<Layout>) -> Shape {
        let layout = layout.map(Box::new);
        Shape::Array(ArrayShape {
            element: PrimitiveType::F32,
            dims: dims.into(),
            dynamic: [false, true].as_slice().into(),
            layout,
        })
    }

    fn check(value: &Shape, expect: &str) {
        let mut out = Writer::new(1000);
        shape(&mut out, value, true);
        assert_eq!(out.finish(), expect);
    }

    #[test]
    fn prints_shapes() {
        let plain =
            |order: &[i64]| Layout { minor_to_major: order.into(), tail_padding_alignment: 1, ..Layout::default() };
        check(&array(&[], None), "f32[]");
        check(&array(&[], Some(plain(&[]))), "f32[]");
        check(&array(&[3, 8], Some(plain(&[1, 0]))), "f32[3,<=8]{1,0}");
        check(&array(&[UNBOUNDED], None), "f32[?]");
        let tiled = Layout { tiles: vec![[8, 128].as_slice().into()], memory_space: 5, ..plain(&[0]) };
        check(&array(&[3], Some(tiled)), "f32[3]{0:T(8,128)S(5)}");
        let sized =
            Layout { element_size_in_bits: 4, split_configs: vec![(0, [2, 3].as_slice().into())], ..plain(&[]) };
        check(&array(&[], Some(sized)), "f32[]{:E(4)SC(0:2,3)}");
        check(&Shape::Tuple(vec![]), "()");
        let six = Shape::Tuple(vec![Shape::Token; 6]);
        check(&six, "(token[], token[], token[], token[], token[], /*index=5*/token[])");
        check(&Shape::Buffer(Box::new(Shape::Opaque)), "b(opaque[])");
    }
}
