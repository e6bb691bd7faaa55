//! The attributes of single opcodes, as HLO text writes them; `attributes.rs` says which opcode has which.

use super::origin::Origin;
use super::structured::{scaling_side, sparsity_side};
use super::writer::Writer;
use super::{Printer, literal, number, shape, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::validate::is_partially_ordered;

impl Printer<'_> {
    pub(super) fn batch_norm(&mut self, i: &Instruction) {
        self.out.push(", epsilon=");
        number::general(&mut self.out, f64::from(i.epsilon()), 6);
        self.number(i, field::FEATURE_INDEX, "feature_index");
    }

    pub(super) fn fft(&mut self, i: &Instruction) {
        let kind = ["FFT", "IFFT", "RFFT", "IRFFT"].get(i.int(field::FFT_TYPE) as usize).unwrap_or(&"");
        self.out.format(format_args!(", fft_type={kind}, fft_length="));
        self.out.braced(i.ints(field::FFT_LENGTH));
    }

    pub(super) fn transfer(&mut self, i: &Instruction) {
        self.channel(i);
        self.flag(i, field::IS_HOST_TRANSFER, "is_host_transfer");
    }

    pub(super) fn top_k(&mut self, i: &Instruction) {
        self.number(i, field::K, "k");
        self.word(i, field::LARGEST, "largest");
        self.word(i, field::IS_STABLE, "is_stable");
    }

    pub(super) fn all_dimensions(&mut self, i: &Instruction) {
        let rank = i.shape.as_array().map_or(0, |array| array.dims.len() as i64);
        self.out.push(", dimensions={");
        self.out.list(",", 0..rank, Writer::int);
        self.out.push("}");
    }

    pub(super) fn sort(&mut self, i: &Instruction) {
        self.dimensions(i);
        self.flag(i, field::IS_STABLE, "is_stable");
    }

    pub(super) fn scan(&mut self, i: &Instruction) {
        self.dimensions(i);
        self.number(i, field::NUM_CARRIES, "num_carries");
        self.flag(i, field::IS_REVERSE, "is_reverse");
        match i.int(field::IS_ASSOCIATIVE) {
            1 => self.out.push(", is_associative=true"),
            2 => self.out.push(", is_associative=false"),
            _ => {}
        }
    }

    pub(super) fn reshape(&mut self, i: &Instruction) {
        if let Some(dim) = i.dimensions().first() {
            self.out.format(format_args!(", inferred_dimension={dim}"));
        }
    }

    pub(super) fn iota(&mut self, i: &Instruction) {
        let dim = i.dimensions().first().copied().unwrap_or(0);
        self.out.format(format_args!(", iota_dimension={dim}"));
    }

    pub(super) fn dot(&mut self, i: &Instruction) {
        if let Some(dims) = i.dot_dims() {
            self.dot_dims(dims, i.opcode == Opcode::RaggedDot);
        }
        let operands = if i.opcode == Opcode::Dot { i.operands.len() } else { 2 };
        self.precision(i, operands);
    }

    pub(super) fn whole_convolution(&mut self, i: &Instruction) {
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

    pub(super) fn fusion(&mut self, i: &Instruction) {
        self.out.push(", kind=");
        self.out.push(i.fusion_kind());
        self.aliasing(i);
    }

    pub(super) fn copy_start(&mut self, i: &Instruction) {
        if let Some(index) = i.cross_program_prefetch_index() {
            self.out.format(format_args!(", cross_program_prefetch_index={index}"));
        }
    }

    pub(super) fn async_start(&mut self, i: &Instruction) {
        self.async_thread(i);
        self.aliasing(i);
    }

    pub(super) fn rng(&mut self, i: &Instruction) {
        let words = ["rng_invalid", "rng_uniform", "rng_normal"];
        let word = words.get(i.int(field::DISTRIBUTION) as usize).unwrap_or(&"");
        self.out.format(format_args!(", distribution={word}"));
    }

    pub(super) fn rng_bit_generator(&mut self, i: &Instruction) {
        let words = ["rng_default", "rng_three_fry", "rng_philox"];
        let word = words.get(i.int(field::RNG_ALGORITHM) as usize).unwrap_or(&"");
        self.out.format(format_args!(", algorithm={word}"));
    }

    pub(super) fn reduce_precision(&mut self, i: &Instruction) {
        self.number(i, field::EXPONENT_BITS, "exponent_bits");
        self.number(i, field::MANTISSA_BITS, "mantissa_bits");
    }

    pub(super) fn outfeed(&mut self, i: &Instruction) {
        if let Some(sent) = i.outfeed_shape() {
            self.out.push(", outfeed_shape=");
            shape::shape(&mut self.out, sent, true);
        }
        self.feed_config(i, field::OUTFEED_CONFIG, "outfeed_config");
    }

    pub(super) fn shuffle(&mut self, i: &Instruction) {
        self.dimensions(i);
        if i.rotation().is_empty() {
            self.out.push(", mode=invalid");
        } else {
            self.out.push(", mode=rotate");
            self.braced(i.rotation(), "shifts");
        }
    }

    pub(super) fn cholesky(&mut self, i: &Instruction) {
        if i.flat(field::CHOLESKY_OPTIONS).is_some_and(|[lower, ..]| lower != 0) {
            self.out.push(", lower=true");
        }
    }

    pub(super) fn compare(&mut self, computation: &Computation, i: &Instruction) {
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

    pub(super) fn triangular_solve(&mut self, i: &Instruction) {
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

    pub(super) fn slice(&mut self, i: &Instruction) {
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

    pub(super) fn padding(&mut self, i: &Instruction) {
        let with_interior = i.padding().iter().any(|&[_, _, interior]| interior != 0);
        self.out.push(", padding=");
        self.out.list("x", i.padding(), |out, [low, high, interior]| {
            out.format(format_args!("{low}_{high}"));
            if with_interior {
                out.format(format_args!("_{interior}"));
            }
        });
    }

    pub(super) fn custom_call(&mut self, i: &Instruction) {
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

    pub(super) fn parameter_replication(&mut self, i: &Instruction) {
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

    pub(super) fn feed_config(&mut self, i: &Instruction, field: u32, key: &str) {
        if self.options.feed_config && !i.bytes(field).is_empty() {
            self.out.format(format_args!(", {key}="));
            self.out.quoted(i.bytes(field));
        }
    }

    pub(super) fn domain(&mut self, i: &Instruction) {
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
