//! Which attributes belong to an opcode, in the order of HLO text, and the small items that they are made of.

use super::Printer;
use crate::hlo::attribute::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::PrimitiveType;

impl<'m> Printer<'m> {
    /// The attributes without the called computations.
    pub(super) fn attributes(&mut self, computation: &'m Computation, instruction: &'m Instruction) {
        let i = instruction;
        match i.opcode {
            Opcode::BatchNormGrad | Opcode::BatchNormInference | Opcode::BatchNormTraining => self.batch_norm(i),
            Opcode::Fft => self.fft(i),
            Opcode::Compare => self.compare(computation, i),
            Opcode::TriangularSolve => self.triangular_solve(i),
            Opcode::Cholesky => self.cholesky(i),
            Opcode::Send | Opcode::SendDone | Opcode::Recv | Opcode::RecvDone => self.transfer(i),
            Opcode::TopK => self.top_k(i),
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
            Opcode::Map => self.all_dimensions(i),
            Opcode::Sort => self.sort(i),
            Opcode::Scan => self.scan(i),
            Opcode::Reshape => self.reshape(i),
            Opcode::Slice => self.slice(i),
            Opcode::DynamicSlice => self.braced(i.ints(field::DYNAMIC_SLICE_SIZES), "dynamic_slice_sizes"),
            Opcode::Pad => self.padding(i),
            Opcode::Gather | Opcode::Scatter => self.gather(i),
            Opcode::Iota => self.iota(i),
            Opcode::Dot | Opcode::ScaledDot | Opcode::RaggedDot => self.dot(i),
            Opcode::Convolution => self.whole_convolution(i),
            Opcode::ReduceWindow | Opcode::SelectAndScatter => self.window(i),
            Opcode::Fusion => self.fusion(i),
            Opcode::CustomCall => self.custom_call(i),
            Opcode::CopyStart => self.copy_start(i),
            Opcode::AsyncStart => self.async_start(i),
            Opcode::Rng => self.rng(i),
            Opcode::RngBitGenerator => self.rng_bit_generator(i),
            Opcode::RngGetAndUpdateState => self.number(i, field::DELTA, "delta"),
            Opcode::Parameter => self.parameter_replication(i),
            Opcode::GetTupleElement => self.number(i, field::TUPLE_INDEX, "index"),
            Opcode::ReducePrecision => self.reduce_precision(i),
            Opcode::Infeed => self.feed_config(i, field::INFEED_CONFIG, "infeed_config"),
            Opcode::Outfeed => self.outfeed(i),
            Opcode::Domain => self.domain(i),
            Opcode::Shuffle => self.shuffle(i),
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
}

/// Whether a conditional has a branch for true and one for false instead of numbered ones.
fn branches_on_bool(computation: &Computation, i: &Instruction) -> bool {
    let index = computation.operand(i, 0).and_then(|index| index.shape.as_array());
    index.is_some_and(|array| array.element == PrimitiveType::Pred)
}
