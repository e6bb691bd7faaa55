//! The attributes that belong to an opcode, in the order of HLO text.

use super::origin::Origin;
use super::structured::{scaling_side, sparsity_side};
use super::writer::Writer;
use super::{Printer, literal, number, shape, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::PrimitiveType;
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
                let kind = ["FFT", "IFFT", "RFFT", "IRFFT"].get(i.int(field::FFT_TYPE) as usize).unwrap_or(&"");
                self.out.format(format_args!(", fft_type={kind}, fft_length="));
                self.out.braced(i.ints(field::FFT_LENGTH));
            }
            Opcode::Compare => self.compare(computation, i),
            Opcode::TriangularSolve => self.triangular_solve(i),
            Opcode::Cholesky if i.flat(field::CHOLESKY_OPTIONS).is_some_and(|[lower, ..]| lower != 0) => {
                self.out.push(", lower=true");
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
                let word = words.get(i.int(field::DISTRIBUTION) as usize).unwrap_or(&"");
                self.out.format(format_args!(", distribution={word}"));
            }
            Opcode::RngBitGenerator => {
                let words = ["rng_default", "rng_three_fry", "rng_philox"];
                let word = words.get(i.int(field::RNG_ALGORITHM) as usize).unwrap_or(&"");
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
                if i.rotation().is_empty() {
                    self.out.push(", mode=invalid");
                } else {
                    self.out.push(", mode=rotate");
                    self.braced(i.rotation(), "shifts");
                }
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
            Opcode::AsyncUpdate | Opcode::AsyncDone => {}
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
            out.braced(&alias.output_index);
            out.format(format_args!(": ({}, ", alias.operand));
            out.braced(&alias.operand_index);
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
        let Some([left_side, lower, unit_diagonal, transpose]) = i.flat(field::TRIANGULAR_SOLVE_OPTIONS) else {
            return;
        };
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

    fn custom_call(&mut self, i: &Instruction) {
        if i.window().is_empty() && i.attributes.iter().any(|a| matches!(a, Attribute::Window(_))) {
            self.out.push(", window={}");
        }
        self.convolution(i);
        self.precision(i, i.operands.len());
        match i.int(field::PADDING_TYPE) {
            0 => {}
            1 => self.out.push(", padding_type=PADDING_VALID"),
            2 => self.out.push(", padding_type=PADDING_SAME"),
            _ => self.out.push(", padding_type="),
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
            literal::literal_with_shape(&mut self.out, value);
        }
        self.aliasing(i);
        match i.int(field::CUSTOM_CALL_SCHEDULE) {
            0 => {}
            1 => self.out.push(", schedule=SCHEDULE_LATEST"),
            2 => self.out.push(", schedule=SCHEDULE_EARLIEST"),
            _ => self.out.push(", schedule="),
        }
        let version = match i.int(field::API_VERSION) {
            0 => "API_VERSION_UNSPECIFIED",
            1 => return,
            2 => "API_VERSION_STATUS_RETURNING",
            3 => "API_VERSION_STATUS_RETURNING_UNIFIED",
            4 => "API_VERSION_TYPED_FFI",
            _ => "",
        };
        self.out.format(format_args!(", api_version={version}"));
    }

    fn parameter_replication(&mut self, i: &Instruction) {
        let replicated = i.attributes.iter().any(|a| matches!(a, Attribute::Ints(field::PARAMETER_REPLICATION, _)));
        if replicated {
            self.out.push(", parameter_replication={");
            let flags = i.ints(field::PARAMETER_REPLICATION);
            self.out.list(",", flags, |out, &flag| {
                out.push(if flag == 0 { "false" } else { "true" });
            });
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
        let origin = self.options.metadata.then_some(Origin { module: self.module, frames: &self.frames });
        // The names are those of the instruction's two sides, the other way around than in the proto.
        for (key, side) in [("entry", field::DOMAIN_EXIT_SHARDING), ("exit", field::DOMAIN_ENTRY_SHARDING)] {
            self.out.format(format_args!(", {key}="));
            match i.sharding_field(side) {
                Some(value) => sharding::sharding(&mut self.out, value, origin.as_ref()),
                None => self.out.push("{}"),
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
