//! What a module's memory is used for: the heap over time, what fills it at the peak, and what lives all the time.
//!
//! Takes a program and a memory space; gives sizes in bytes and positions of arrays, no text.

use super::program::Program;
use super::simulation::{self, Simulation};
use crate::hlo::buffers::{Allocation, HeapEvent};
use crate::{Diag, Result};

/// Arrays below this size are shown as one, in bytes.
pub const SMALL_BYTES: i64 = 16 * 1024;
/// The space of a device's main memory.
const MAIN_MEMORY: i64 = 0;

/// Sums of sizes of allocations, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Holding parameters of the program.
    pub entry_parameters: i128,
    /// Not to be used again.
    pub non_reusable: i128,
    /// Holding results of the program.
    pub maybe_live_out: i128,
    /// All but those of single threads.
    pub all: i128,
    /// Living as long as the program runs, without those of single threads.
    pub indefinite: i128,
    /// Living as long as the program runs and holding an array that is not empty.
    pub indefinite_with_content: i128,
}

/// Something in memory at the peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// An array, as a position in the program, and its size in bytes.
    Buffer(u32, i64),
    /// All small arrays together, with their size in bytes.
    Small(i128),
}

impl Object {
    /// Size in bytes, with padding.
    pub fn bytes(self) -> i128 {
        match self {
            Self::Buffer(_, bytes) => i128::from(bytes),
            Self::Small(bytes) => bytes,
        }
    }
}

/// The use of one memory space.
#[derive(Debug)]
pub struct Report {
    /// The allocations in the space, as positions in the program, by their number.
    pub allocations: Vec<u32>,
    /// Sums over them.
    pub totals: Totals,
    /// The heap over time.
    pub simulation: Simulation,
    /// What is in memory at the peak: what always is, then by birth.
    pub at_peak: Vec<Object>,
    /// By allocation of the program: the heap trace that fills it.
    pub traces: Vec<Option<u32>>,
}

/// Whether an allocation lives as long as the program runs.
pub fn is_indefinite(allocation: &Allocation) -> bool {
    allocation.is_entry_parameter || allocation.is_constant || allocation.maybe_live_out
}

/// Whether the memory may be used again when the array that needs it is dead.
pub fn is_reusable(allocation: &Allocation) -> bool {
    !allocation.is_thread_local && !allocation.is_tuple
}

/// What an allocation is for.
pub fn category(allocation: &Allocation) -> &'static str {
    match allocation {
        Allocation { is_entry_parameter: true, .. } => "Parameter",
        Allocation { maybe_live_out: true, .. } => "Output",
        Allocation { is_thread_local: true, .. } => "Thread-local",
        Allocation { is_constant: true, .. } => "Constant",
        _ => "Temporary",
    }
}

impl Report {
    /// Computes the use of a memory space.
    pub fn of(program: &Program, space: i64, diag: &mut Diag) -> Result<Self> {
        let in_space = (0..).zip(&program.allocations).filter(|(_, allocation)| allocation.color == space);
        let mut allocations: Vec<u32> = in_space.map(|(at, _)| at).collect();
        allocations.sort_by_key(|&at| program.allocations[at as usize].index);
        let traces = traces_by_allocation(program);
        let mut report = Self {
            allocations,
            totals: Totals::default(),
            simulation: Simulation::default(),
            at_peak: Vec::new(),
            traces,
        };
        report.totals = report.sum(program);
        if let Some(events) = report.trace_to_replay(program, space) {
            report.simulation = simulation::run(program, events, diag)?;
        }
        report.at_peak = report.objects(program, space);
        Ok(report)
    }

    /// The allocations in the space.
    pub fn allocations<'a>(&'a self, program: &'a Program) -> impl Iterator<Item = &'a Allocation> {
        self.allocations.iter().map(|&at| &program.allocations[at as usize])
    }

    /// The allocations that live as long as the program runs.
    pub fn indefinite<'a>(&'a self, program: &'a Program) -> impl Iterator<Item = &'a Allocation> {
        self.allocations(program).filter(|allocation| is_indefinite(allocation))
    }

    fn sum(&self, program: &Program) -> Totals {
        let mut totals = Totals::default();
        for allocation in self.allocations(program) {
            let bytes = i128::from(allocation.size_bytes);
            let add = |sum: &mut i128, condition: bool| *sum += if condition { bytes } else { 0 };
            add(&mut totals.entry_parameters, allocation.is_entry_parameter);
            add(&mut totals.non_reusable, !is_reusable(allocation));
            add(&mut totals.maybe_live_out, allocation.maybe_live_out);
            add(&mut totals.all, !allocation.is_thread_local);
            add(&mut totals.indefinite, is_indefinite(allocation) && !allocation.is_thread_local);
            if let Some(content) = largest_buffer(program, allocation).filter(|_| is_indefinite(allocation)) {
                // parity: the allocation in which the array was seen last; compilers put an array in one only.
                let allocation = &program.allocations[program.buffer(content).allocation as usize];
                totals.indefinite_with_content += i128::from(allocation.size_bytes);
            }
        }
        totals
    }

    /// That of the first allocation that gives its memory back, else the one with most events in the space.
    fn trace_to_replay<'p>(&self, program: &'p Program, space: i64) -> Option<&'p [HeapEvent]> {
        let has_trace = |&at: &u32| {
            let trace = self.traces[at as usize]?;
            (!is_indefinite(&program.allocations[at as usize])).then_some(trace)
        };
        let of_allocation = self.allocations.iter().find_map(has_trace);
        let trace = of_allocation.or_else(|| busiest_trace(program, space))?;
        program.heap_traces.get(trace as usize).map(Vec::as_slice)
    }

    fn objects(&self, program: &Program, space: i64) -> Vec<Object> {
        let always = self.indefinite(program).filter(|_| space == MAIN_MEMORY);
        let always = always.filter_map(|allocation| largest_buffer(program, allocation));
        let mut objects = Vec::new();
        let mut small_bytes = 0;
        for buffer in always.chain(self.simulation.live_at_peak.iter().copied()) {
            let bytes = program.buffer(buffer).logical.size_bytes;
            if bytes < SMALL_BYTES {
                small_bytes += i128::from(bytes);
            } else {
                objects.push(Object::Buffer(buffer, bytes));
            }
        }
        if small_bytes != 0 {
            objects.push(Object::Small(small_bytes));
        }
        objects
    }
}

/// The first of the largest arrays in an allocation, if any is not empty.
fn largest_buffer(program: &Program, allocation: &Allocation) -> Option<u32> {
    let mut largest = None;
    let mut largest_bytes = 0;
    for buffer in program.assigned(allocation) {
        let bytes = program.buffer(buffer).logical.size_bytes;
        if bytes > largest_bytes {
            (largest, largest_bytes) = (Some(buffer), bytes);
        }
    }
    largest
}

/// A trace belongs to the allocation of the array in its first event; of several the last one counts.
///
/// parity: the number of the allocation that traces carry is not looked at.
fn traces_by_allocation(program: &Program) -> Vec<Option<u32>> {
    let mut traces = vec![None; program.allocations.len()];
    for (trace, at) in program.heap_traces.iter().zip(0u32..) {
        if let Some(buffer) = trace.first().and_then(|first| program.find(first.buffer_id)) {
            traces[program.buffer(buffer).allocation as usize] = Some(at);
        }
    }
    traces
}

/// The first of the traces with most events of arrays in a memory space, if any has one.
fn busiest_trace(program: &Program, space: i64) -> Option<u32> {
    let in_space = |event: &&HeapEvent| {
        program.find(event.buffer_id).is_some_and(|buffer| program.buffer(buffer).logical.color == space)
    };
    let mut busiest = None;
    let mut most = 0;
    for (trace, at) in program.heap_traces.iter().zip(0u32..) {
        let n = trace.iter().filter(in_space).count();
        if n > most {
            (busiest, most) = (Some(at), n);
        }
    }
    busiest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::int;
    use crate::tools::memory_viewer::testing::Memory;

    const PARAMETER: u32 = 5;
    const LIVE_OUT: u32 = 7;
    const COLOR: u32 = 8;
    const THREAD_LOCAL: u32 = 3;
    const TUPLE: u32 = 11;
    const CONSTANT: u32 = 12;

    fn check(memory: Memory, space: i64, at_peak: &[Object], totals: Totals) {
        let (program, _) = memory.program();
        let report = Report::of(&program, space, &mut Diag::new()).expect("no contradiction");
        assert_eq!((report.at_peak.as_slice(), report.totals), (at_peak, totals));
    }

    fn flags(fields: &[u32]) -> Vec<Vec<u8>> {
        fields.iter().map(|&field| int(field, 1)).collect()
    }

    fn memory() -> Memory {
        Memory::default()
            .buffer(1, 50_000, 1, &[])
            .buffer(2, 100, 1, &[])
            .buffer(3, 16_384, 1, &[])
            .buffer(4, 16_383, 1, &[])
            .allocation(2, 50_100, &flags(&[PARAMETER]), &[(2, 0), (1, 100)])
            .allocation(1, 40_000, &[], &[(3, 0), (4, 20_000)])
            .allocation(3, 7, &flags(&[THREAD_LOCAL, CONSTANT]), &[])
            .allocation(4, 24, &flags(&[TUPLE, LIVE_OUT]), &[])
            .allocation(5, 1000, &flags(&[COLOR]), &[])
            .trace("+4 +3 -4")
    }

    #[test]
    fn sums_and_lists_what_is_in_memory() {
        let totals = Totals {
            entry_parameters: 50_100,
            non_reusable: 31,
            maybe_live_out: 24,
            all: 90_124,
            indefinite: 50_124,
            indefinite_with_content: 50_100,
        };
        // The largest of the parameter's allocation, what is alive at the peak, and the small ones together.
        let at_peak = [Object::Buffer(1, 50_000), Object::Buffer(2, 16_384), Object::Small(16_383)];
        check(memory(), 0, &at_peak, totals);
        check(memory(), 1, &[], Totals { all: 1000, ..Totals::default() });
        check(memory(), 2, &[], Totals::default());
    }

    #[test]
    fn replays_the_trace_of_the_space() {
        let steps = |memory: Memory, space: i64| {
            let (program, _) = memory.program();
            Report::of(&program, space, &mut Diag::new()).expect("no contradiction").simulation.steps.len()
        };
        // The last one that begins with an array of the allocation.
        assert_eq!(steps(memory().trace("+3 -3 +4 -4"), 0), 5);
        // Else the first one with most events of arrays of the space.
        let other = || Memory::default().buffer(1, 5, 1, &[]).allocation(0, 5, &flags(&[PARAMETER]), &[(1, 0)]);
        assert_eq!(steps(other().trace("+1").trace("+1 -1").trace("+1 +1"), 0), 3);
        assert_eq!(steps(other().trace("+1"), 1), 0, "of space 0");
        assert_eq!(steps(other(), 0), 0);
    }

    #[test]
    fn names_categories_by_the_first_reason() {
        let name = |change: fn(&mut Allocation)| {
            let mut allocation = Allocation { is_constant: true, ..Allocation::default() };
            change(&mut allocation);
            category(&allocation)
        };
        assert_eq!(name(|a| a.is_constant = false), "Temporary");
        assert_eq!(name(|_| ()), "Constant");
        assert_eq!(name(|a| a.is_thread_local = true), "Thread-local");
        assert_eq!(name(|a| (a.maybe_live_out, a.is_thread_local) = (true, true)), "Output");
        assert_eq!(name(|a| (a.maybe_live_out, a.is_entry_parameter) = (true, true)), "Parameter");
    }
}
