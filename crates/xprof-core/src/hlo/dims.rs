//! Dimension numbers, windows and other structured attributes of instructions.
//!
//! Takes the bytes of the small messages inside an `HloInstructionProto`, gives plain structs; must not print.

use bytes::Bytes;
use bytestring::ByteString;

use super::HloError;
use super::proto::{Ints, each_field, flat_ints, push_ints, shared_text};
use crate::wire::Value;

/// One dimension of a window that slides over an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowDim {
    /// Number of elements.
    pub size: i64,
    /// Step between two positions.
    pub stride: i64,
    /// Padding before the first element; may be negative.
    pub padding_low: i64,
    /// Padding after the last element; may be negative.
    pub padding_high: i64,
    /// Spacing of the window's own elements.
    pub window_dilation: i64,
    /// Spacing of the elements of the base array.
    pub base_dilation: i64,
    /// Whether the window is applied mirrored.
    pub reversed: bool,
}

/// The dimensions of a window.
pub type Window = Vec<WindowDim>;

/// Reads a `Window`.
pub(crate) fn window(data: &[u8]) -> Result<Window, HloError> {
    let mut dims = Vec::new();
    each_field(data, |number, value| {
        if let (1, Value::Bytes(part)) = (number, value) {
            let [size, stride, padding_low, padding_high, window_dilation, base_dilation, reversal] = flat_ints(part)?;
            let reversed = reversal != 0;
            dims.push(WindowDim { size, stride, padding_low, padding_high, window_dilation, base_dilation, reversed });
        }
        Ok(())
    })?;
    Ok(dims)
}

/// Which dimensions of a dot's operands are batch, and which are summed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DotDims {
    /// Summed dimensions of the left operand.
    pub lhs_contracting: Ints,
    /// Summed dimensions of the right operand.
    pub rhs_contracting: Ints,
    /// Batch dimensions of the left operand.
    pub lhs_batch: Ints,
    /// Batch dimensions of the right operand.
    pub rhs_batch: Ints,
    /// Only for ragged dots: dimensions of uneven length.
    pub lhs_ragged: Ints,
    /// Only for ragged dots: dimensions that number the groups.
    pub rhs_group: Ints,
}

/// Reads a `DotDimensionNumbers`.
pub(crate) fn dot_dims(data: &[u8]) -> Result<DotDims, HloError> {
    let mut dims = DotDims::default();
    each_field(data, |number, value| match number {
        1 => push_ints(&mut dims.lhs_contracting, value),
        2 => push_ints(&mut dims.rhs_contracting, value),
        3 => push_ints(&mut dims.lhs_batch, value),
        4 => push_ints(&mut dims.rhs_batch, value),
        _ => Ok(()),
    })?;
    Ok(dims)
}

/// Reads a `RaggedDotDimensionNumbers`.
pub(crate) fn ragged_dot_dims(data: &[u8]) -> Result<DotDims, HloError> {
    let (mut dims, mut ragged, mut group) = (DotDims::default(), Ints::new(), Ints::new());
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => dims = dot_dims(part)?,
            (2, value) => push_ints(&mut ragged, value)?,
            (3, value) => push_ints(&mut group, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(DotDims { lhs_ragged: ragged, rhs_group: group, ..dims })
}

/// Which dimension of a convolution's arrays is batch, feature or spatial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConvDims {
    /// Batch dimension of the input.
    pub input_batch: i64,
    /// Feature dimension of the input.
    pub input_feature: i64,
    /// Spatial dimensions of the input.
    pub input_spatial: Ints,
    /// Input feature dimension of the kernel.
    pub kernel_input_feature: i64,
    /// Output feature dimension of the kernel.
    pub kernel_output_feature: i64,
    /// Spatial dimensions of the kernel.
    pub kernel_spatial: Ints,
    /// Batch dimension of the output.
    pub output_batch: i64,
    /// Feature dimension of the output.
    pub output_feature: i64,
    /// Spatial dimensions of the output.
    pub output_spatial: Ints,
}

/// Reads a `ConvolutionDimensionNumbers`.
pub(crate) fn conv_dims(data: &[u8]) -> Result<ConvDims, HloError> {
    let mut dims = ConvDims::default();
    each_field(data, |number, value| {
        match (number, value) {
            (3, Value::Varint(v)) => dims.kernel_input_feature = v as i64,
            (4, Value::Varint(v)) => dims.kernel_output_feature = v as i64,
            (6, value) => push_ints(&mut dims.kernel_spatial, value)?,
            (7, Value::Varint(v)) => dims.input_batch = v as i64,
            (8, Value::Varint(v)) => dims.input_feature = v as i64,
            (9, Value::Varint(v)) => dims.output_batch = v as i64,
            (10, Value::Varint(v)) => dims.output_feature = v as i64,
            (11, value) => push_ints(&mut dims.input_spatial, value)?,
            (12, value) => push_ints(&mut dims.output_spatial, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(dims)
}

/// Dimension numbers of `gather` and `scatter`, which mirror each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatherDims {
    /// `offset_dims` or `update_window_dims`.
    pub window: Ints,
    /// `collapsed_slice_dims` or `inserted_window_dims`.
    pub collapsed: Ints,
    /// `start_index_map` or `scatter_dims_to_operand_dims`.
    pub index_map: Ints,
    /// The dimension of the index array that holds index vectors.
    pub index_vector_dim: i64,
    /// `operand_batching_dims` or `input_batching_dims`.
    pub operand_batching: Ints,
    /// `start_indices_batching_dims` or `scatter_indices_batching_dims`.
    pub indices_batching: Ints,
}

/// Reads a `GatherDimensionNumbers` or a `ScatterDimensionNumbers`: the field numbers agree.
pub(crate) fn gather_dims(data: &[u8]) -> Result<GatherDims, HloError> {
    let mut dims = GatherDims::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => push_ints(&mut dims.window, value)?,
            (2, value) => push_ints(&mut dims.collapsed, value)?,
            (3, value) => push_ints(&mut dims.index_map, value)?,
            (4, Value::Varint(v)) => dims.index_vector_dim = v as i64,
            (5, value) => push_ints(&mut dims.operand_batching, value)?,
            (6, value) => push_ints(&mut dims.indices_batching, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(dims)
}

/// Padding of one dimension: before, after, between elements.
pub type PaddingDim = [i64; 3];

/// Reads a `PaddingConfig`.
pub(crate) fn padding(data: &[u8]) -> Result<Vec<PaddingDim>, HloError> {
    let mut dims = Vec::new();
    each_field(data, |number, value| {
        if let (1, Value::Bytes(part)) = (number, value) {
            dims.push(flat_ints(part)?);
        }
        Ok(())
    })?;
    Ok(dims)
}

/// How precisely operands are multiplied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precision {
    /// Per operand 0 default, 1 high, 2 highest.
    pub operands: Ints,
    /// Number of the multiplication algorithm, 0 for none.
    pub algorithm: i64,
}

/// Reads a `PrecisionConfig`.
pub(crate) fn precision(data: &[u8]) -> Result<Precision, HloError> {
    let mut config = Precision::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => push_ints(&mut config.operands, value)?,
            (2, Value::Varint(v)) => config.algorithm = v as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok(config)
}

/// A part of the output that shares memory with a part of an operand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aliasing {
    /// Where in the output.
    pub output_index: Ints,
    /// Which operand.
    pub operand: i64,
    /// Where in the operand.
    pub operand_index: Ints,
}

/// Reads an `OutputOperandAliasing`.
pub(crate) fn aliasing(data: &[u8]) -> Result<Aliasing, HloError> {
    let mut alias = Aliasing::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => push_ints(&mut alias.output_index, value)?,
            (2, Value::Varint(v)) => alias.operand = v as i64,
            (3, value) => push_ints(&mut alias.operand_index, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(alias)
}

/// Statistics of a value that a compiler pass recorded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// Which of them is shown.
    pub visualizing_index: i64,
    /// Name and value of each.
    pub values: Vec<(ByteString, f64)>,
}

/// Reads a `StatisticsViz`.
pub(crate) fn statistics(owner: &Bytes, data: &[u8]) -> Result<Statistics, HloError> {
    let mut statistics = Statistics::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => statistics.visualizing_index = v as i64,
            (2, Value::Bytes(part)) => {
                let (mut name, mut number_value) = (ByteString::new(), 0.0);
                each_field(part, |number, value| {
                    match (number, value) {
                        (1, Value::Bytes(text)) => name = shared_text(owner, text)?,
                        (2, value) => number_value = value.as_f64(),
                        _ => {}
                    }
                    Ok(())
                })?;
                statistics.values.push((name, number_value));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(statistics)
}

/// The accuracy that a result must have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResultAccuracy {
    /// 0 default, 1 highest.
    Mode(u64),
    /// Absolute tolerance, relative tolerance, units in the last place.
    Tolerance(f64, f64, i64),
}

/// Reads a `ResultAccuracy`.
pub(crate) fn result_accuracy(data: &[u8]) -> Result<ResultAccuracy, HloError> {
    let mut accuracy = ResultAccuracy::Mode(0);
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => accuracy = ResultAccuracy::Mode(v),
            (2, Value::Bytes(part)) => {
                let (mut atol, mut rtol, mut ulps) = (0.0, 0.0, 0);
                each_field(part, |number, value| {
                    match number {
                        1 => atol = value.as_f64(),
                        2 => rtol = value.as_f64(),
                        3 => ulps = value.as_u64() as i64,
                        _ => {}
                    }
                    Ok(())
                })?;
                accuracy = ResultAccuracy::Tolerance(atol, rtol, ulps);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(accuracy)
}

/// Where the parts of a value came from before the compiler changed the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginalValue {
    /// Place in this value, name of the original instruction, place in its value.
    pub elements: Vec<OriginalElement>,
    /// Whether it stands for a call that never existed in the original program; it then has no parts.
    pub is_synthetic_call: bool,
    /// A note that stands behind the parts, if there is one.
    pub note: Option<ByteString>,
}

/// One part of an [`OriginalValue`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginalElement {
    /// Place in the value at hand.
    pub index: Ints,
    /// The instruction and the place in its value, if known.
    pub original: Option<(ByteString, Ints)>,
}

/// Reads an `OriginalValueProto`.
pub(crate) fn original_value(owner: &Bytes, data: &[u8]) -> Result<OriginalValue, HloError> {
    let mut origin = OriginalValue::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => origin.elements.push(original_element(owner, part)?),
            (2, Value::Varint(v)) => origin.is_synthetic_call = v != 0,
            (3, Value::Bytes(part)) => origin.note = Some(shared_text(owner, part)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(origin)
}

fn original_element(owner: &Bytes, data: &[u8]) -> Result<OriginalElement, HloError> {
    let mut element = OriginalElement::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => push_ints(&mut element.index, value)?,
            (2, Value::Bytes(part)) => {
                let (mut name, mut index) = (ByteString::new(), Ints::new());
                each_field(part, |number, value| match (number, value) {
                    (1, Value::Bytes(text)) => {
                        name = shared_text(owner, text)?;
                        Ok(())
                    }
                    (2, value) => push_ints(&mut index, value),
                    _ => Ok(()),
                })?;
                element.original = Some((name, index));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(element)
}

/// Sparsity or block scaling of a convolution operand: the set values in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SideConfig {
    /// `num_non_zero, block_size, dimension, stride, idx` or `scale_idx, zero_idx`.
    pub numbers: [Option<i64>; 5],
    /// Block scaling: strides and steps.
    pub lists: [Ints; 2],
}

/// Reads a message with the sides `lhs` and `rhs`, each with up to five numbers; fields 3 and 4 are lists if `with_lists`.
pub(crate) fn two_sides(data: &[u8], with_lists: bool) -> Result<[Option<SideConfig>; 2], HloError> {
    let mut sides = [None, None];
    each_field(data, |number, value| {
        if let (Some(slot), Value::Bytes(part)) = (sides.get_mut(number as usize - 1), value) {
            let mut side = SideConfig::default();
            each_field(part, |number, value| {
                match (number, value) {
                    (3 | 4, value) if with_lists => {
                        let [strides, steps] = &mut side.lists;
                        push_ints(if number == 3 { strides } else { steps }, value)?;
                    }
                    (number, Value::Varint(v)) => {
                        if let Some(slot) = side.numbers.get_mut(number as usize - 1) {
                            *slot = Some(v as i64);
                        }
                    }
                    _ => {}
                }
                Ok(())
            })?;
            *slot = Some(side);
        }
        Ok(())
    })?;
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(got: &Result<T, HloError>, expect: &T) {
        assert_eq!(got.as_ref(), Ok(expect));
    }

    #[test]
    fn reads_the_messages() {
        let dim = WindowDim { size: 3, stride: 2, padding_low: 1, reversed: true, ..WindowDim::default() };
        check(&window(&[0x0a, 8, 0x08, 3, 0x10, 2, 0x18, 1, 0x38, 1]), &vec![dim]);
        let dot = DotDims { lhs_contracting: [1].as_slice().into(), ..DotDims::default() };
        check(&dot_dims(&[0x08, 1]), &dot);
        let ragged = DotDims { lhs_ragged: [0].as_slice().into(), ..dot };
        check(&ragged_dot_dims(&[0x0a, 2, 0x08, 1, 0x10, 0]), &ragged);
        check(&padding(&[0x0a, 4, 0x08, 1, 0x18, 2]), &vec![[1, 0, 2]]);
        let index_only = GatherDims { index_vector_dim: 2, ..GatherDims::default() };
        check(&gather_dims(&[0x20, 2]), &index_only);
    }
}
