//! Values of constants as text.

use super::number;
use super::shape;
use super::writer::Writer;
use crate::hlo::literal::Literal;
use crate::hlo::proto::Ints;
use crate::hlo::shape::{ArrayShape, PrimitiveType, Shape};

/// Appends a literal with all its elements.
pub(crate) fn literal(out: &mut Writer, value: &Literal) {
    match &*value.shape {
        Shape::Array(array) => array_literal(out, value, array, false),
        Shape::Tuple(_) => {
            out.push("( ");
            out.list(", ", &value.elements, literal);
            out.push(" )");
        }
        Shape::Token => out.push("token"),
        Shape::Opaque | Shape::Buffer(_) => out.push("{...}"),
    }
}

/// Appends an array with each row of it on a line of its own, another value as [`literal`] does.
pub(crate) fn literal_in_lines(out: &mut Writer, value: &Literal) {
    match &*value.shape {
        Shape::Array(array) => array_literal(out, value, array, true),
        _ => literal(out, value),
    }
}

/// Appends a literal with all its elements and with the shape before each array.
pub(crate) fn literal_with_shape(out: &mut Writer, value: &Literal) {
    if matches!(&*value.shape, Shape::Tuple(_)) {
        out.push("( ");
        out.list(", ", &value.elements, literal_with_shape);
        return out.push(" )");
    }
    shape::shape(out, &value.shape, true);
    out.push(" ");
    literal(out, value);
}

fn array_literal(out: &mut Writer, value: &Literal, array: &ArrayShape, in_lines: bool) {
    let numbers = value.numbers();
    let printer = Elements { array, numbers: &numbers, strides: strides(array), in_lines };
    printer.level(out, 0, 0, 0);
}

/// How far apart in memory neighbours along each logical dimension are.
fn strides(array: &ArrayShape) -> Ints {
    let mut strides = Ints::from_elem(0, array.dims.len());
    let mut step = 1i64;
    for &dim in array.layout.iter().flat_map(|layout| &layout.minor_to_major) {
        let dim = dim as usize;
        if let (Some(stride), Some(&size)) = (strides.get_mut(dim), array.dims.get(dim)) {
            *stride = step;
            step = step.saturating_mul(size);
        }
    }
    strides
}

/// The elements of an array in logical order.
struct Elements<'a> {
    array: &'a ArrayShape,
    numbers: &'a [u64],
    strides: Ints,
    in_lines: bool,
}

impl Elements<'_> {
    /// Prints everything below one index prefix: `dim` dimensions are fixed, `index` is the last fixed one.
    /// The recursion is as deep as the array has dimensions; deeper ones than any real array has are left out.
    fn level(&self, out: &mut Writer, dim: usize, index: i64, offset: i64) {
        let rank = self.array.dims.len();
        if dim == rank {
            return self.element(out, offset);
        }
        if dim > 64 {
            return out.push("{...}");
        }
        let size = self.array.dims[dim];
        let innermost = dim + 1 == rank;
        let place = |i: i64| offset.saturating_add(i.saturating_mul(self.strides[dim]));
        if innermost {
            if self.in_lines && rank > 1 {
                out.push("  ");
            }
            let spaced = rank > 1 && size > 1;
            out.push(if spaced { "{ " } else { "{" });
            out.list(", ", 0..size, |out, i| self.element(out, place(i)));
            return out.push(if spaced { " }" } else { "}" });
        }
        let (gap, separator) = if self.in_lines { ("\n", ",\n") } else { (" ", ", ") };
        out.push("{");
        let has_number = rank > 3 && dim > 0;
        if has_number {
            out.format(format_args!(" /*i{}={index}*/", dim - 1));
        }
        out.push(if has_number && size == 0 { "" } else { gap });
        out.list(separator, 0..size, |out, i| self.level(out, dim + 1, i, place(i)));
        out.push(gap);
        out.push("}");
    }

    fn element(&self, out: &mut Writer, offset: i64) {
        let at = |n: i64| usize::try_from(n).ok().and_then(|n| self.numbers.get(n)).copied().unwrap_or(0);
        let element = self.array.element;
        if element.is_complex() {
            out.push("(");
            number::element(out, element, at(offset.saturating_mul(2)));
            out.push(", ");
            number::element(out, element, at(offset.saturating_mul(2).saturating_add(1)));
            out.push(")");
        } else if element == PrimitiveType::Pred {
            let words = if self.array.dims.is_empty() { ["false", "true"] } else { ["0", "1"] };
            out.push(words[usize::from(at(offset) != 0)]);
        } else if element.is_integral() {
            integer(out, element, at(offset));
        } else {
            number::element(out, element, at(offset));
        }
    }
}

/// Appends an integer: only the bits that its type has count.
fn integer(out: &mut Writer, element: PrimitiveType, bits: u64) {
    let unused = 64 - element.bits().clamp(1, 64);
    if element.name().starts_with('s') {
        out.int((bits << unused) as i64 >> unused);
    } else {
        out.format(format_args!("{}", bits << unused >> unused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn check(dims: &[u8], order: &[u8], values: &[u8], expect: &str) {
        assert_eq!(print(literal, dims, order, values), expect);
    }

    fn print(literal: fn(&mut Writer, &Literal), dims: &[u8], order: &[u8], values: &[u8]) -> String {
        let layout = [&[0x0a, order.len() as u8][..], order].concat();
        let shape = [&[0x10, 4, 0x1a, dims.len() as u8][..], dims, &[0x2a, layout.len() as u8], &layout].concat();
        let proto = [&[0x0a, shape.len() as u8][..], &shape, &[0x22, values.len() as u8], values].concat();
        let owner = Bytes::from(proto);
        let mut out = Writer::new(1000);
        literal(&mut out, &Literal::from_proto(&owner, &owner).expect("valid"));
        out.finish()
    }

    #[test]
    fn prints_rows_in_lines() {
        let check = |dims: &[u8], values: &[u8], expect: &str| {
            let order: Vec<u8> = (0..dims.len() as u8).rev().collect();
            assert_eq!(print(literal_in_lines, dims, &order, values), expect);
        };
        check(&[], &[7], "7");
        check(&[2], &[1, 2], "{1, 2}");
        check(&[2, 1], &[1, 2], "{\n  {1},\n  {2}\n}");
        check(&[1, 2], &[1, 2], "{\n  { 1, 2 }\n}");
        check(&[2, 1, 2], &[1, 2, 3, 4], "{\n{\n  { 1, 2 }\n},\n{\n  { 3, 4 }\n}\n}");
        check(&[1, 1, 1, 2], &[1, 2], "{\n{ /*i0=0*/\n{ /*i1=0*/\n  { 1, 2 }\n}\n}\n}");
    }

    #[test]
    fn prints_nested_braces() {
        check(&[], &[], &[7], "7");
        check(&[2], &[0], &[1, 2], "{1, 2}");
        check(&[1], &[0], &[1], "{1}");
        check(&[2, 2], &[1, 0], &[1, 2, 3, 4], "{ { 1, 2 }, { 3, 4 } }");
        check(&[2, 2], &[0, 1], &[1, 2, 3, 4], "{ { 1, 3 }, { 2, 4 } }");
        check(
            &[2, 2, 2, 1],
            &[3, 2, 1, 0],
            &[0, 1, 2, 3, 4, 5, 6, 7],
            "{ { /*i0=0*/ { /*i1=0*/ {0}, {1} }, { /*i1=1*/ {2}, {3} } }, { /*i0=1*/ { /*i1=0*/ {4}, {5} }, { /*i1=1*/ {6}, {7} } } }",
        );
    }
}
