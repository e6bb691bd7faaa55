//! Attributes with a small grammar of their own: dimension numbers, windows, precision.

use super::Printer;
use super::writer::Writer;
use crate::hlo::attribute::field;
use crate::hlo::dims::{DotDims, SideConfig, WindowDim};
use crate::hlo::instruction::Instruction;
use crate::hlo::opcode::Opcode;

impl Printer<'_> {
    pub(super) fn gather(&mut self, i: &Instruction) {
        let (dims, keys) = match i.opcode {
            Opcode::Gather => (
                i.gather_dims(),
                [
                    "offset_dims",
                    "collapsed_slice_dims",
                    "start_index_map",
                    "operand_batching_dims",
                    "start_indices_batching_dims",
                ],
            ),
            _ => (
                i.scatter_dims(),
                [
                    "update_window_dims",
                    "inserted_window_dims",
                    "scatter_dims_to_operand_dims",
                    "input_batching_dims",
                    "scatter_indices_batching_dims",
                ],
            ),
        };
        if let Some(dims) = dims {
            let lists =
                [&dims.window, &dims.collapsed, &dims.index_map, &dims.operand_batching, &dims.indices_batching];
            for (n, (key, list)) in keys.into_iter().zip(lists).enumerate() {
                if n < 3 || !list.is_empty() {
                    self.braced(list, key);
                }
            }
            self.out.format(format_args!(", index_vector_dim={}", dims.index_vector_dim));
        }
        if i.opcode == Opcode::Gather {
            self.braced(i.ints(field::GATHER_SLICE_SIZES), "slice_sizes");
        }
        self.flag(i, field::INDICES_ARE_SORTED, "indices_are_sorted");
        if i.opcode == Opcode::Scatter {
            self.flag(i, field::UNIQUE_INDICES, "unique_indices");
        }
    }

    pub(super) fn dot_dims(&mut self, dims: &DotDims, ragged: bool) {
        if !dims.lhs_batch.is_empty() {
            self.braced(&dims.lhs_batch, "lhs_batch_dims");
        }
        self.braced(&dims.lhs_contracting, "lhs_contracting_dims");
        if !dims.rhs_batch.is_empty() {
            self.braced(&dims.rhs_batch, "rhs_batch_dims");
        }
        self.braced(&dims.rhs_contracting, "rhs_contracting_dims");
        if ragged {
            for (list, key) in [(&dims.lhs_ragged, "lhs_ragged_dims"), (&dims.rhs_group, "rhs_group_dims")] {
                if !list.is_empty() {
                    self.braced(list, key);
                }
            }
        }
    }

    pub(super) fn precision(&mut self, i: &Instruction, n_operands: usize) {
        let Some(precision) = i.precision() else { return };
        let words = ["default", "high", "highest"];
        let at = |n: usize| precision.operands.get(n).copied().unwrap_or(0);
        if (0..n_operands).any(|n| at(n) != 0) {
            self.out.push(", operand_precision={");
            self.out.list(",", 0..n_operands, |out, n| {
                out.push(words.get(at(n) as usize).unwrap_or(&words[0]));
            });
            self.out.push("}");
        }
        if let Some(name) = algorithm(precision.algorithm) {
            self.out.format(format_args!(", algorithm={name}"));
        }
    }

    pub(super) fn window(&mut self, i: &Instruction) {
        if !i.window().is_empty() {
            self.out.push(", window={");
            window(&mut self.out, i.window());
            self.out.push("}");
        }
    }

    pub(super) fn convolution(&mut self, i: &Instruction) {
        self.window(i);
        if i.conv_dims().is_some() {
            self.dim_labels(i);
        }
        if i.feature_group_count() != 1 {
            self.out.format(format_args!(", feature_group_count={}", i.feature_group_count()));
        }
        if i.batch_group_count() != 1 {
            self.out.format(format_args!(", batch_group_count={}", i.batch_group_count()));
        }
    }

    pub(super) fn dim_labels(&mut self, i: &Instruction) {
        let Some(d) = i.conv_dims() else { return };
        self.out.push(", dim_labels=");
        labels(&mut self.out, [('b', d.input_batch), ('f', d.input_feature)], &d.input_spatial);
        self.out.push("_");
        labels(&mut self.out, [('i', d.kernel_input_feature), ('o', d.kernel_output_feature)], &d.kernel_spatial);
        self.out.push("->");
        labels(&mut self.out, [('b', d.output_batch), ('f', d.output_feature)], &d.output_spatial);
    }

    /// What is set of either operand, nothing if neither is.
    pub(super) fn sides(&mut self, key: &str, sides: &[Option<SideConfig>; 2], one: fn(&mut Writer, &SideConfig)) {
        if sides.iter().all(Option::is_none) {
            return;
        }
        self.out.format(format_args!(", {key}={{"));
        let set = ["lhs", "rhs"].into_iter().zip(sides).filter_map(|(name, side)| Some((name, side.as_ref()?)));
        self.out.list(" ", set, |out, (name, side)| {
            out.format(format_args!("{name}={{"));
            one(out, side);
            out.push("}");
        });
        self.out.push("}");
    }
}

/// No array has more dimensions than this by far.
const MAX_LABELLED_DIMS: usize = 64;

/// Appends the labels of one array's dimensions in their order.
fn labels(out: &mut Writer, named: [(char, i64); 2], spatial: &[i64]) {
    let spatial = spatial.iter().enumerate().map(|(at, &dim)| (at.to_string(), dim));
    let labels = spatial.chain(named.map(|(label, dim)| (label.to_string(), dim)));
    let mut row: Vec<String> = Vec::new();
    for (label, dim) in labels {
        let Some(at) = usize::try_from(dim).ok().filter(|&at| at < MAX_LABELLED_DIMS) else {
            continue;
        };
        if row.len() <= at {
            row.resize(at + 1, String::from("?"));
        }
        row[at] = label;
    }
    for label in &row {
        out.push(label);
    }
}

/// Appends the parts of a window that differ from the usual.
fn window(out: &mut Writer, dims: &[WindowDim]) {
    out.push("size=");
    out.list("x", dims, |out, dim| out.int(dim.size));
    let mut part = |key: &str, differs: fn(&WindowDim) -> bool, one: fn(&mut Writer, &WindowDim)| {
        if dims.iter().any(differs) {
            out.format(format_args!(" {key}="));
            out.list("x", dims, one);
        }
    };
    part("stride", |d| d.stride != 1, |out, d| out.int(d.stride));
    let pad = |out: &mut Writer, d: &WindowDim| out.format(format_args!("{}_{}", d.padding_low, d.padding_high));
    part("pad", |d| d.padding_low != 0 || d.padding_high != 0, pad);
    part("lhs_dilate", |d| d.base_dilation != 1, |out, d| out.int(d.base_dilation));
    part("rhs_dilate", |d| d.window_dilation != 1, |out, d| out.int(d.window_dilation));
    part("rhs_reversal", |d| d.reversed, |out, d| out.int(i64::from(d.reversed)));
}

pub(super) fn sparsity_side(out: &mut Writer, side: &SideConfig) {
    let [num_non_zero, block_size, dimension, stride, idx] = side.numbers.map(|n| n.unwrap_or(0));
    out.format(format_args!("sparsity={num_non_zero}x{block_size} dimension={dimension} stride={stride} idx={idx}"));
}

pub(super) fn scaling_side(out: &mut Writer, side: &SideConfig) {
    let [scale_idx, zero_idx, ..] = side.numbers;
    out.format(format_args!("scale_idx={}", scale_idx.unwrap_or(0)));
    if let Some(zero) = zero_idx {
        out.format(format_args!(" zero_idx={zero}"));
    }
    for (key, list) in ["strides", "steps"].into_iter().zip(&side.lists) {
        out.format(format_args!(" {key}="));
        out.list("x", list, |out, &n| out.int(n));
    }
}

/// The word for a multiplication algorithm.
fn algorithm(number: i64) -> Option<&'static str> {
    const WORDS: [&str; 15] = [
        "dot_any_f8_any_f8_f32",
        "dot_any_f8_any_f8_f32_fast_accum",
        "dot_f16_f16_f16",
        "dot_f16_f16_f32",
        "dot_bf16_bf16_bf16",
        "dot_bf16_bf16_f32",
        "dot_bf16_bf16_f32_x3",
        "dot_bf16_bf16_f32_x6",
        "dot_tf32_tf32_f32",
        "dot_tf32_tf32_f32_x3",
        "dot_f32_f32_f32",
        "dot_f64_f64_f64",
        "dot_bf16_bf16_f32_x9",
        "dot_bf16_bf16_fp8x3",
        "dot_bf16_bf16_fp8x4",
    ];
    WORDS.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}
