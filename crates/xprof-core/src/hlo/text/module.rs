//! A whole module as text: header, stack frames, computations in calling order.
//!
//! The parts of a module that only this text shows are read here from the proto.

use rustc_hash::FxHashMap;

use super::header::{Header, Recovery};
use super::{PrintOptions, Printer, frames, shape};
use crate::hlo::attribute::field;
use crate::hlo::frame_numbers::FrameNumbers;
use crate::hlo::module::{Computation, HloModule};
use crate::hlo::opcode::Opcode;
use crate::hlo::{HloError, Instruction};

/// Modules that stand in a module's text are printed to this depth.
const MAX_MODULES_IN_MODULES: u32 = 4;

/// The text of a module, two line breaks at its end. [`HloError::TextTooLarge`] if it is longer than `limit` bytes.
pub fn module_text(module: &HloModule, options: PrintOptions, limit: usize) -> Result<String, HloError> {
    nested_text(module, options, limit, 0)
}

fn nested_text(module: &HloModule, options: PrintOptions, limit: usize, depth: u32) -> Result<String, HloError> {
    let header = Header::of(module)?;
    let mut printer = Printer::new(module, options, limit);
    printer.frames = FrameNumbers::of(module);
    printer.asynchronous = Printer::called_asynchronously(module);
    printer.header(&header, depth)?;
    for at in module.calling_order() {
        if printer.out.is_full() {
            return Err(HloError::TextTooLarge(limit));
        }
        printer.computation(at);
    }
    let is_full = printer.out.is_full();
    if is_full { Err(HloError::TextTooLarge(limit)) } else { Ok(printer.finish()) }
}

/// What an asynchronous instruction says about a computation that it calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asynchronous<'m> {
    /// Whether the computation is shown only where it is called.
    is_wrapper: bool,
    /// The thread it runs on, empty if nothing is said.
    thread: &'m str,
}

impl HloModule {
    /// Positions of the computations in the order of the text: callees before callers, each once.
    ///
    /// Starts at the computations that nobody calls, in the order of the proto. The callees of one instruction count as
    /// visited together, before any of them is entered; that is the order of the original.
    pub(crate) fn calling_order(&self) -> Vec<u32> {
        let mut is_called = vec![false; self.computations.len()];
        for &callee in self.computations.iter().flat_map(|c| &c.instructions).flat_map(|i| &i.called) {
            is_called[callee as usize] = true;
        }
        let mut order = Vec::with_capacity(self.computations.len());
        let mut visited = vec![false; self.computations.len()];
        // A computation with the instruction and the callee to look at next.
        let mut open: Vec<(u32, usize, Vec<u32>)> = Vec::new();
        for start in (0..self.computations.len()).filter(|&at| !is_called[at]) {
            visited[start] = true;
            open.push((start as u32, 0, Vec::new()));
            while let Some((at, next, pending)) = open.last_mut() {
                if let Some(callee) = pending.pop() {
                    open.push((callee, 0, Vec::new()));
                    continue;
                }
                let Some(instruction) = self.computations[*at as usize].instructions.get(*next) else {
                    order.push(*at);
                    open.pop();
                    continue;
                };
                *next += 1;
                let fresh = |callee: &u32| !std::mem::replace(&mut visited[*callee as usize], true);
                *pending = instruction.called.iter().copied().filter(fresh).collect();
                pending.reverse();
            }
        }
        order
    }
}

impl<'m> Printer<'m> {
    /// The first line, and the table of stack frames if metadata is shown.
    fn header(&mut self, header: &Header, depth: u32) -> Result<(), HloError> {
        self.out.format(format_args!("HloModule {}", self.module.name));
        if header.is_scheduled {
            self.out.push(", is_scheduled=true");
        }
        header.aliases(&mut self.out);
        header.donors(&mut self.out);
        self.out.push(", entry_computation_layout={(");
        shape::elements(&mut self.out, &header.parameters, |out, parameter| shape::shape(out, parameter, true));
        self.out.push(")->");
        shape::shape(&mut self.out, &header.result, true);
        self.out.push("}");
        header.frontend(&mut self.out);
        self.recoveries(&header.recoveries, depth)?;
        header.rest(&mut self.out, self.module);
        if self.options.metadata && !self.frames.is_empty() {
            frames::table(&mut self.out, &self.frames, self.module);
        }
        self.out.push("\n\n");
        Ok(())
    }

    /// How values that the compiler took away can be had again, with the modules that compute them.
    fn recoveries(&mut self, recoveries: &[Recovery], depth: u32) -> Result<(), HloError> {
        if recoveries.is_empty() {
            return Ok(());
        }
        self.out.push(", origin_recovery_table={\n");
        for recovery in recoveries {
            self.out.push("  ");
            recovery.old.print(&mut self.out);
            self.out.push(" : ");
            recovery.new.print(&mut self.out);
            if let Some(proto) = &recovery.module {
                if depth >= MAX_MODULES_IN_MODULES {
                    return Err(HloError::TooDeep);
                }
                let module = HloModule::from_module_proto(proto)?;
                let options = PrintOptions::long(self.options.metadata);
                let text = nested_text(&module, options, self.out.room(), depth + 1)?;
                self.out.push(",\n  \"\n");
                for line in text.split_inclusive('\n') {
                    self.out.push(if line == "\n" { "" } else { "    " });
                    self.out.push(line);
                }
                self.out.push("\n  \"");
            }
            self.out.push("\n");
        }
        self.out.push("}\n");
        Ok(())
    }

    /// A computation and the empty line behind it, or nothing if it is shown where it is called.
    fn computation(&mut self, at: u32) {
        let module = self.module;
        let computation = &module.computations[at as usize];
        let asynchronous = self.asynchronous.get(&at).copied().unwrap_or_default();
        if asynchronous.is_wrapper {
            return;
        }
        if at == module.entry {
            self.out.push("ENTRY ");
        }
        self.name(&computation.name);
        self.out.push(" ");
        if self.options.signatures {
            self.signature(computation);
        }
        self.out.push("{\n");
        let order = computation.schedule.clone().unwrap_or_else(|| computation.post_order());
        for at in order {
            if self.out.is_full() {
                return;
            }
            self.out.push(if at == computation.root { "  ROOT " } else { "  " });
            self.instruction(computation, &computation.instructions[at as usize]);
            self.out.push("\n");
        }
        self.out.push("}");
        let own: &str = &computation.execution_thread;
        let thread = if asynchronous.thread.is_empty() { own } else { asynchronous.thread };
        if !thread.is_empty() && thread != "main" {
            self.out.format(format_args!(", execution_thread=\"{thread}\""));
        }
        if !computation.backend_config.is_empty() {
            self.out.push(", backend_config=");
            super::strings::json_or_quoted(&mut self.out, module.bytes(computation.backend_config));
        }
        self.out.push("\n\n");
    }

    /// `(p0: f32[2]) -> f32[2] `.
    fn signature(&mut self, computation: &'m Computation) {
        let mut parameters: Vec<&Instruction> =
            computation.instructions.iter().filter(|i| i.opcode == Opcode::Parameter).collect();
        parameters.sort_by_key(|i| i.int(field::PARAMETER_NUMBER));
        self.out.push("(");
        self.out.list(", ", parameters, |out, parameter| {
            out.push(&parameter.name);
            out.push(": ");
            shape::shape(out, &parameter.shape, false);
        });
        self.out.push(") -> ");
        shape::shape(&mut self.out, &computation.root().shape, false);
        self.out.push(" ");
    }

    /// What asynchronous instructions say about the computations that they call.
    fn called_asynchronously(module: &'m HloModule) -> FxHashMap<u32, Asynchronous<'m>> {
        let starts = module.computations.iter().flat_map(|c| &c.instructions);
        let mut found = FxHashMap::default();
        for start in starts.filter(|i| i.opcode == Opcode::AsyncStart) {
            for &callee in &start.called {
                let is_wrapper = module.computations[callee as usize].is_trivial_wrapper();
                found.insert(callee, Asynchronous { is_wrapper, thread: start.text(field::ASYNC_EXECUTION_THREAD) });
            }
        }
        found
    }
}
