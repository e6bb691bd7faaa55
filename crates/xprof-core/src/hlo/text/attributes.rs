//! The attributes that belong to an opcode, in the order of HLO text.

use std::borrow::Cow;

use super::writer::Writer;
use super::{Printer, literal, number, shape, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::dims::{DotDims, SideConfig, WindowDim};
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::{PrimitiveType, Shape};
use crate::hlo::validate::is_partially_ordered;

impl<'m> Printer<'m> {
    /// The attributes without the called computations.
    pub(super) fn attributes(&mut self, computation: &'m Computation, instruction: &'m Instruction) {
        let i = instruction;
        match i.opcode {
            Opcode::BatchNormGrad | Opcode::BatchNormInference | Opcode::BatchNormTraining => {
                self.out.push(", epsilon=");
                number::general(&mut self.out, f64::from(i.epsilon()), 6);
                self.number(i, field::FEATURE_INDEX, "feature_index");
            }
            Opcode::Fft => {
                let kind = ["FFT", "IFFT", "RFFT", "IRFFT"].get(i.int(field::FFT_TYPE) as usize).unwrap_or(&"FFT");
                self.out.format(format_args!(", fft_type={kind}, fft_length="));
                self.out.braced(i.ints(field::FFT_LENGTH));
            }
            Opcode::Compare => self.compare(computation, i),
            Opcode::TriangularSolve => self.triangular_solve(i),
            Opcode::Cholesky => {
                if i.flat(field::CHOLESKY_OPTIONS).is_some_and(|[lower, ..]| lower != 0) {
                    self.out.push(", lower=true");
                }
            }
            Opcode::Send | Opcode::SendDone | Opcode::Recv | Opcode::RecvDone => {
                self.channel(i);
                self.flag(i, field::IS_HOST_TRANSFER, "is_host_transfer");
            }
            Opcode::TopK => {
                self.number(i, field::K, "k");
                self.word(i, field::LARGEST, "largest");
                self.word(i, field::IS_STABLE, "is_stable");
            }
            Opcode::AllGather
            | Opcode::AllGatherStart
            | Opcode::AllReduce
            | Opcode::AllReduceStart
            | Opcode::ReduceScatter
            | Opcode::AllToAll
            | Opcode::RaggedAllToAll
            | Opcode::CollectiveBroadcast
            | Opcode::CollectivePermute
            | Opcode::CollectivePermuteStart => self.collective(computation, i),
            Opcode::Broadcast
            | Opcode::Transpose
            | Opcode::Reverse
            | Opcode::Concatenate
            | Opcode::Reduce
            | Opcode::GetDimensionSize
            | Opcode::SetDimensionSize => self.dimensions(i),
            Opcode::Map => {
                let rank = i.shape.as_array().map_or(0, |array| array.dims.len() as i64);
                self.out.push(", dimensions={");
                self.out.list(",", 0..rank, Writer::int);
                self.out.push("}");
            }
            Opcode::Sort => {
                self.dimensions(i);
                self.flag(i, field::IS_STABLE, "is_stable");
            }
            Opcode::Scan => {
                self.dimensions(i);
                self.number(i, field::NUM_CARRIES, "num_carries");
                self.flag(i, field::IS_REVERSE, "is_reverse");
                match i.int(field::IS_ASSOCIATIVE) {
                    1 => self.out.push(", is_associative=true"),
                    2 => self.out.push(", is_associative=false"),
                    _ => {}
                }
            }
            Opcode::Reshape => {
                if let Some(dim) = i.dimensions().first() {
                    self.out.format(format_args!(", inferred_dimension={dim}"));
                }
            }
            Opcode::Slice => self.slice(i),
            Opcode::DynamicSlice => self.braced(i.ints(field::DYNAMIC_SLICE_SIZES), "dynamic_slice_sizes"),
            Opcode::Pad => self.padding(i),
            Opcode::Gather | Opcode::Scatter => self.gather(i),
            Opcode::Iota => {
                let dim = i.dimensions().first().copied().unwrap_or(0);
                self.out.format(format_args!(", iota_dimension={dim}"));
            }
            Opcode::Dot | Opcode::ScaledDot | Opcode::RaggedDot => {
                if let Some(dims) = i.dot_dims() {
                    self.dot_dims(dims, i.opcode == Opcode::RaggedDot);
                }
                let operands = if i.opcode == Opcode::Dot { i.operands.len() } else { 2 };
                self.precision(i, operands);
            }
            Opcode::Convolution => {
                self.convolution(i);
                match i.int(field::CONV_KIND) {
                    1 => self.out.push(", convolution_kind=fprop"),
                    2 => self.out.push(", convolution_kind=dgrad"),
                    3 => self.out.push(", convolution_kind=wgrad"),
                    _ => {}
                }
                self.precision(i, i.operands.len());
                if let Some(sides) = i.sparsity() {
                    self.sides("sparsity_config", sides, sparsity_side);
                }
                if let Some(sides) = i.block_scaling() {
                    self.sides("block_scaling_config", sides, scaling_side);
                }
            }
            Opcode::ReduceWindow | Opcode::SelectAndScatter => self.window(i),
            Opcode::Fusion => {
                self.out.push(", kind=");
                self.out.push(i.fusion_kind());
                self.aliasing(i);
            }
            Opcode::CustomCall => self.custom_call(i),
            Opcode::CopyStart => {
                if let Some(index) = i.cross_program_prefetch_index() {
                    self.out.format(format_args!(", cross_program_prefetch_index={index}"));
                }
            }
            Opcode::AsyncStart => {
                self.async_thread(i);
                self.aliasing(i);
            }
            Opcode::Rng => {
                let words = ["rng_invalid", "rng_uniform", "rng_normal"];
                let word = words.get(i.int(field::DISTRIBUTION) as usize).unwrap_or(&words[0]);
                self.out.format(format_args!(", distribution={word}"));
            }
            Opcode::RngBitGenerator => {
                let words = ["rng_default", "rng_three_fry", "rng_philox"];
                let word = words.get(i.int(field::RNG_ALGORITHM) as usize).unwrap_or(&words[0]);
                self.out.format(format_args!(", algorithm={word}"));
            }
            Opcode::RngGetAndUpdateState => self.number(i, field::DELTA, "delta"),
            Opcode::Parameter => self.parameter_replication(i),
            Opcode::GetTupleElement => self.number(i, field::TUPLE_INDEX, "index"),
            Opcode::ReducePrecision => {
                self.number(i, field::EXPONENT_BITS, "exponent_bits");
                self.number(i, field::MANTISSA_BITS, "mantissa_bits");
            }
            Opcode::Infeed => self.feed_config(i, field::INFEED_CONFIG, "infeed_config"),
            Opcode::Outfeed => {
                if let Some(sent) = i.outfeed_shape() {
                    self.out.push(", outfeed_shape=");
                    shape::shape(&mut self.out, sent, true);
                }
                self.feed_config(i, field::OUTFEED_CONFIG, "outfeed_config");
            }
            Opcode::Domain => self.domain(i),
            Opcode::Shuffle => {
                self.dimensions(i);
                self.out.push(", mode=rotate");
                self.braced(i.rotation(), "shifts");
            }
            _ => {}
        }
    }

    /// The computations that the instruction calls, each named by what it is called for.
    pub(super) fn called_computations(&mut self, computation: &Computation, i: &Instruction) {
        if i.called.is_empty() {
            return;
        }
        match i.opcode {
            Opcode::While => {
                self.callee(i, 1, "condition");
                self.callee(i, 0, "body");
            }
            Opcode::SelectAndScatter => {
                self.callee(i, 0, "select");
                self.callee(i, 1, "scatter");
            }
            Opcode::Conditional if branches_on_bool(computation, i) => {
                self.callee(i, 0, "true_computation");
                self.callee(i, 1, "false_computation");
            }
            Opcode::Conditional => self.callees(i, "branch_computations", true),
            Opcode::CustomCall => self.callees(i, "called_computations", true),
            Opcode::Call => {
                self.callee(i, 0, "to_apply");
                self.flag(i, field::IS_COMPOSITE, "is_composite");
            }
            Opcode::Map
            | Opcode::Reduce
            | Opcode::ReduceWindow
            | Opcode::ReduceScatter
            | Opcode::AllReduce
            | Opcode::AllReduceStart
            | Opcode::Scan
            | Opcode::Scatter
            | Opcode::Sort => self.callee(i, 0, "to_apply"),
            _ => self.callees(i, "calls", false),
        }
    }

    fn callee(&mut self, i: &Instruction, n: usize, key: &str) {
        if let Some(callee) = self.module.called(i, n) {
            self.out.format(format_args!(", {key}="));
            self.name(&callee.name);
        }
    }

    fn callees(&mut self, i: &Instruction, key: &str, braces: bool) {
        self.out.format(format_args!(", {key}={}", if braces { "{" } else { "" }));
        for n in 0..i.called.len() {
            self.out.push(if n > 0 { ", " } else { "" });
            if let Some(callee) = self.module.called(i, n) {
                self.name(&callee.name);
            }
        }
        self.out.push(if braces { "}" } else { "" });
    }

    // === small items ===

    /// `, key=N`.
    pub(super) fn number(&mut self, i: &Instruction, field: u32, key: &str) {
        self.out.format(format_args!(", {key}={}", i.int(field)));
    }

    /// `, key=true` or nothing.
    pub(super) fn flag(&mut self, i: &Instruction, field: u32, key: &str) {
        if i.flag(field) {
            self.out.format(format_args!(", {key}=true"));
        }
    }

    /// `, key=true` or `, key=false`.
    pub(super) fn word(&mut self, i: &Instruction, field: u32, key: &str) {
        self.out.format(format_args!(", {key}={}", i.flag(field)));
    }

    /// `, key={1,2}`.
    pub(super) fn braced(&mut self, list: &[i64], key: &str) {
        self.out.format(format_args!(", {key}="));
        self.out.braced(list);
    }

    /// `, dimensions={1,2}`.
    pub(super) fn dimensions(&mut self, i: &Instruction) {
        self.braced(i.dimensions(), "dimensions");
    }

    /// Parts of the output that share memory with operands.
    pub(super) fn aliasing(&mut self, i: &Instruction) {
        if i.aliasing().is_empty() {
            return;
        }
        self.out.push(", output_to_operand_aliasing={");
        self.out.list(", ", i.aliasing(), |out, alias| {
            spaced(out, &alias.output_index);
            out.format(format_args!(": ({}, ", alias.operand));
            spaced(out, &alias.operand_index);
            out.push(")");
        });
        self.out.push("}");
    }

    /// The thread of an asynchronous computation, if it is not the main one.
    pub(super) fn async_thread(&mut self, i: &Instruction) {
        let thread = i.text(field::ASYNC_EXECUTION_THREAD);
        if !thread.is_empty() && thread != "main" {
            self.out.format(format_args!(", async_execution_thread=\"{thread}\""));
        }
    }

    // === one opcode each ===

    fn compare(&mut self, computation: &Computation, i: &Instruction) {
        self.out.format(format_args!(", direction={}", i.text(field::COMPARISON_DIRECTION)));
        let operand = computation.operand(i, 0).and_then(|operand| operand.shape.as_array());
        let default = if operand.is_some_and(|a| is_partially_ordered(a.element)) { "PARTIAL" } else { "TOTAL" };
        let order = match (i.text(field::COMPARISON_ORDER), i.text(field::COMPARISON_TYPE)) {
            ("", "FLOAT") => "PARTIAL",
            ("", "SIGNED" | "UNSIGNED" | "TOTALORDER") => "TOTAL",
            ("", _) => default,
            (order, _) => order,
        };
        if order != default {
            self.out.format(format_args!(", order={order}"));
        }
    }

    fn triangular_solve(&mut self, i: &Instruction) {
        let Some([left_side, lower, unit_diagonal, transpose]) = i.flat(field::TRIANGULAR_SOLVE_OPTIONS) else { return };
        for (key, value) in [("left_side", left_side), ("lower", lower), ("unit_diagonal", unit_diagonal)] {
            if value != 0 {
                self.out.format(format_args!(", {key}=true"));
            }
        }
        let words = ["TRANSPOSE_INVALID", "NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"];
        if let Some(word) = words.get(transpose as usize).filter(|_| transpose != 0) {
            self.out.format(format_args!(", transpose_a={word}"));
        }
    }

    fn slice(&mut self, i: &Instruction) {
        let dims = i.slice_dims();
        let strided = dims.iter().any(|&[_, _, stride]| stride != 1);
        self.out.push(", slice={");
        self.out.list(", ", dims, |out, [start, limit, stride]| {
            out.format(format_args!("[{start}:{limit}"));
            if strided {
                out.format(format_args!(":{stride}"));
            }
            out.push("]");
        });
        self.out.push("}");
    }

    fn padding(&mut self, i: &Instruction) {
        let with_interior = i.padding().iter().any(|&[_, _, interior]| interior != 0);
        self.out.push(", padding=");
        self.out.list("x", i.padding(), |out, [low, high, interior]| {
            out.format(format_args!("{low}_{high}"));
            if with_interior {
                out.format(format_args!("_{interior}"));
            }
        });
    }

    fn gather(&mut self, i: &Instruction) {
        let (dims, keys) = match i.opcode {
            Opcode::Gather => (
                i.gather_dims(),
                ["offset_dims", "collapsed_slice_dims", "start_index_map", "operand_batching_dims", "start_indices_batching_dims"],
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
            let lists = [&dims.window, &dims.collapsed, &dims.index_map, &dims.operand_batching, &dims.indices_batching];
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

    fn dot_dims(&mut self, dims: &DotDims, ragged: bool) {
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

    fn precision(&mut self, i: &Instruction, n_operands: usize) {
        let Some(precision) = i.precision() else { return };
        let words = ["default", "high", "highest"];
        let at = |n: usize| precision.operands.get(n).copied().unwrap_or(0);
        if (0..n_operands).any(|n| at(n) != 0) {
            self.out.push(", operand_precision={");
            self.out.list(",", 0..n_operands, |out, n| out.push(words.get(at(n) as usize).unwrap_or(&words[0])));
            self.out.push("}");
        }
        if let Some(name) = algorithm(precision.algorithm) {
            self.out.format(format_args!(", algorithm={name}"));
        }
    }

    fn window(&mut self, i: &Instruction) {
        if !i.window().is_empty() {
            self.out.push(", window={");
            window(&mut self.out, i.window());
            self.out.push("}");
        }
    }

    fn convolution(&mut self, i: &Instruction) {
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

    fn dim_labels(&mut self, i: &Instruction) {
        let Some(d) = i.conv_dims() else { return };
        self.out.push(", dim_labels=");
        labels(&mut self.out, [('b', d.input_batch), ('f', d.input_feature)], &d.input_spatial);
        self.out.push("_");
        labels(&mut self.out, [('i', d.kernel_input_feature), ('o', d.kernel_output_feature)], &d.kernel_spatial);
        self.out.push("->");
        labels(&mut self.out, [('b', d.output_batch), ('f', d.output_feature)], &d.output_spatial);
    }

    fn sides(&mut self, key: &str, sides: &[Option<SideConfig>; 2], one: fn(&mut Writer, &SideConfig)) {
        self.out.format(format_args!(", {key}={{"));
        let set = ["lhs", "rhs"].into_iter().zip(sides).filter_map(|(name, side)| Some((name, side.as_ref()?)));
        self.out.list(" ", set, |out, (name, side)| {
            out.format(format_args!("{name}={{"));
            one(out, side);
            out.push("}");
        });
        self.out.push("}");
    }

    fn custom_call(&mut self, i: &Instruction) {
        self.convolution(i);
        self.precision(i, i.operands.len());
        match i.int(field::PADDING_TYPE) {
            1 => self.out.push(", padding_type=PADDING_VALID"),
            2 => self.out.push(", padding_type=PADDING_SAME"),
            _ => {}
        }
        self.out.push(", custom_call_target=");
        self.out.quoted(i.text(field::CUSTOM_CALL_TARGET).as_bytes());
        if i.flag(field::CONSTRAIN_LAYOUT) {
            self.out.push(", operand_layout_constraints={");
            self.out.list(", ", i.operand_shapes(), |out, s| shape::shape(out, s, true));
            self.out.push("}");
        }
        self.flag(i, field::HAS_SIDE_EFFECT, "custom_call_has_side_effect");
        if let Some(value) = i.literal() {
            self.out.push(", literal=");
            let is_large = matches!(&*value.shape, Shape::Array(array) if array.n_elements() > 10);
            shape::shape(&mut self.out, &value.shape, true);
            self.out.push(" ");
            if is_large && !self.options.large_constants {
                self.out.push("{...}");
            } else {
                literal::literal(&mut self.out, value);
            }
        }
        self.aliasing(i);
        match i.int(field::CUSTOM_CALL_SCHEDULE) {
            1 => self.out.push(", schedule=SCHEDULE_LATEST"),
            2 => self.out.push(", schedule=SCHEDULE_EARLIEST"),
            _ => {}
        }
        let version: Cow<'static, str> = match i.int(field::API_VERSION) {
            0 => "API_VERSION_UNSPECIFIED".into(),
            1 => return,
            2 => "API_VERSION_STATUS_RETURNING".into(),
            3 => "API_VERSION_STATUS_RETURNING_UNIFIED".into(),
            4 => "API_VERSION_TYPED_FFI".into(),
            other => other.to_string().into(),
        };
        self.out.format(format_args!(", api_version={version}"));
    }

    fn parameter_replication(&mut self, i: &Instruction) {
        let replicated = i.attributes.iter().any(|a| matches!(a, Attribute::Ints(field::PARAMETER_REPLICATION, _)));
        if replicated {
            self.out.push(", parameter_replication={");
            let flags = i.ints(field::PARAMETER_REPLICATION);
            self.out.list(",", flags, |out, &flag| out.push(if flag == 0 { "false" } else { "true" }));
            self.out.push("}");
        }
    }

    fn feed_config(&mut self, i: &Instruction, field: u32, key: &str) {
        if self.options.feed_config && !i.bytes(field).is_empty() {
            self.out.format(format_args!(", {key}="));
            self.out.quoted(i.bytes(field));
        }
    }

    fn domain(&mut self, i: &Instruction) {
        self.out.push(", domain={kind=\"sharding\"");
        // The names are those of the instruction's two sides, the other way around than in the proto.
        for (key, side) in [("entry", field::DOMAIN_EXIT_SHARDING), ("exit", field::DOMAIN_ENTRY_SHARDING)] {
            if let Some(value) = i.sharding_field(side) {
                self.out.format(format_args!(", {key}="));
                sharding::sharding(&mut self.out, value);
            }
        }
        self.out.push("}");
    }
}

/// Whether a conditional has a branch for true and one for false instead of numbered ones.
fn branches_on_bool(computation: &Computation, i: &Instruction) -> bool {
    let index = computation.operand(i, 0).and_then(|index| index.shape.as_array());
    index.is_some_and(|array| array.element == PrimitiveType::Pred)
}

/// Appends `{0, 1}`.
fn spaced(out: &mut Writer, index: &[i64]) {
    out.push("{");
    out.list(", ", index, |out, &at| out.int(at));
    out.push("}");
}

/// Appends the labels of one array's dimensions in their order.
fn labels(out: &mut Writer, named: [(char, i64); 2], spatial: &[i64]) {
    let n = spatial.len() + 2;
    let mut row = vec![String::from("?"); n];
    let spatial = spatial.iter().enumerate().map(|(at, &dim)| (at.to_string(), dim));
    for (label, dim) in spatial.chain(named.map(|(label, dim)| (label.to_string(), dim))) {
        if let Some(place) = usize::try_from(dim).ok().and_then(|dim| row.get_mut(dim)) {
            *place = label;
        }
    }
    row.iter().for_each(|label| out.push(label));
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

fn sparsity_side(out: &mut Writer, side: &SideConfig) {
    let [num_non_zero, block_size, dimension, stride, idx] = side.numbers.map(|n| n.unwrap_or(0));
    out.format(format_args!(
        "sparsity={num_non_zero}x{block_size} dimension={dimension} stride={stride} idx={idx}"
    ));
}

fn scaling_side(out: &mut Writer, side: &SideConfig) {
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
        "dot_any_any_f32",
        "dot_any_any_any",
    ];
    WORDS.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}
