//! The arrays in memory as blocks over time and addresses.
//!
//! Takes a report; gives one block per allocation that gives memory back, stacked, and in it one per array with a lifetime.

use super::palette;
use super::program::Program;
use super::report::{Object, Report, is_indefinite};
use crate::hlo::buffers::Allocation;

/// Width and height of the drawing in points.
pub const DRAWING_POINTS: f64 = 4096.0;
/// The fill of an allocation.
const ALLOCATION_COLOR: &str = "#ffffff";

/// What a block stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An allocation, as a position in the program.
    Allocation(u32),
    /// An array, as a position in the program.
    Buffer(u32),
}

/// A rectangle of time and addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// What it stands for.
    pub content: Content,
    /// The allocation it lies in, as a position in the program.
    pub allocation: u32,
    /// First address in bytes, where the stack of allocations begins at 0.
    pub offset_bytes: i128,
    /// Size in bytes.
    pub size_bytes: i128,
    /// First event.
    pub start: u32,
    /// Last event.
    pub end: u32,
    /// Fill, `#rrggbb`.
    pub color: String,
}

/// All blocks and what they fill.
#[derive(Debug, Default, PartialEq)]
pub struct Blocks {
    /// Each allocation is followed by its arrays.
    pub list: Vec<Block>,
    /// Sum of the allocations' sizes in bytes.
    pub height_bytes: i128,
    /// Most events of any allocation.
    pub width_events: u32,
}

impl Blocks {
    /// Stacks the allocations of a report.
    pub fn of(program: &Program, report: &Report) -> Self {
        let stacked = |at: &u32| {
            let allocation = &program.allocations[*at as usize];
            let trace = report.traces[*at as usize].filter(|_| !is_indefinite(allocation))?;
            Some((*at, allocation, program.heap_traces.get(trace as usize)?.len() as u32))
        };
        let stacked: Vec<(u32, &Allocation, u32)> = report.allocations.iter().filter_map(stacked).collect();
        let height_bytes = stacked.iter().map(|(_, allocation, _)| i128::from(allocation.size_bytes)).sum();
        let width_events = stacked.iter().map(|&(.., n_events)| n_events).max().unwrap_or(0);
        let mut blocks = Self { list: Vec::new(), height_bytes, width_events };
        if height_bytes == 0 || width_events == 0 {
            return blocks;
        }
        let numbers = numbers_at_peak(program, report);
        let (mut base_bytes, mut n_drawn) = (0, 0);
        for (at, allocation, _) in stacked {
            blocks.push(
                Block {
                    content: Content::Allocation(at),
                    allocation: at,
                    offset_bytes: base_bytes,
                    size_bytes: i128::from(allocation.size_bytes),
                    start: 0,
                    end: width_events,
                    color: ALLOCATION_COLOR.into(),
                },
                &mut n_drawn,
            );
            for buffer in program.assigned(allocation) {
                let Some(lifetime) = report.simulation.lifetimes.get(buffer as usize).copied().flatten() else {
                    continue;
                };
                let number = numbers[buffer as usize].map_or(n_drawn, |number| number as usize);
                blocks.push(
                    Block {
                        content: Content::Buffer(buffer),
                        allocation: at,
                        offset_bytes: base_bytes + i128::from(program.buffer(buffer).offset_bytes),
                        size_bytes: i128::from(program.buffer(buffer).logical.size_bytes),
                        start: lifetime.start,
                        end: lifetime.limit,
                        color: palette::color(number),
                    },
                    &mut n_drawn,
                );
            }
            base_bytes += i128::from(allocation.size_bytes);
        }
        blocks
    }

    fn push(&mut self, block: Block, n_drawn: &mut usize) {
        *n_drawn += usize::from(self.rectangle(&block).is_some());
        self.list.push(block);
    }

    /// Where a block is drawn; `None` if it is too small to be seen.
    pub fn rectangle(&self, block: &Block) -> Option<Rectangle> {
        let scale = |size: f64, whole: f64| size * (DRAWING_POINTS / whole);
        let (width, height) = (f64::from(self.width_events), self.height_bytes as f64);
        let rectangle = Rectangle {
            left: scale(f64::from(block.start), width),
            bottom: scale(block.offset_bytes as f64, height),
            width: scale(f64::from(block.end) - f64::from(block.start), width),
            height: scale(block.size_bytes as f64, height),
        };
        (rectangle.width >= 1.0 && rectangle.height >= 1.0).then_some(rectangle)
    }
}

/// A place in the drawing, in points from its lower left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub left: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// By array: its number among what is in memory at the peak, the last one if it is there twice.
fn numbers_at_peak(program: &Program, report: &Report) -> Vec<Option<u32>> {
    let mut numbers = vec![None; program.buffers.len()];
    for (object, number) in report.at_peak.iter().zip(0u32..) {
        if let Object::Buffer(buffer, _) = object {
            numbers[*buffer as usize] = Some(number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Diag;
    use crate::hlo::testing::int;
    use crate::tools::memory_viewer::testing::Memory;

    #[test]
    fn stacks_allocations() {
        let memory = Memory::default()
            .buffer(1, 20_000, 1, &[])
            .buffer(2, 30_000, 1, &[])
            .buffer(3, 40_000, 1, &[])
            .allocation(7, 100_000, &[], &[(3, 50)])
            .allocation(2, 60_000, &[], &[(1, 0), (2, 20_000)])
            .allocation(3, 1000, &[], &[])
            .allocation(4, 1000, &[int(12, 1)], &[])
            .trace("+2 +1 -2 -1")
            .trace("+3");
        let (program, _) = memory.program();
        let report = Report::of(&program, 0, &mut Diag::new()).expect("no contradiction");
        let blocks = Blocks::of(&program, &report);
        assert_eq!((blocks.height_bytes, blocks.width_events), (160_000, 4));
        let shown = |block: &Block| {
            let content = match block.content {
                Content::Allocation(at) => format!("allocation {}", program.allocations[at as usize].index),
                Content::Buffer(at) => format!("buffer {}", program.buffer(at).logical.id),
            };
            let Block { offset_bytes, size_bytes, start, end, color, .. } = block;
            format!("{content}: {offset_bytes}+{size_bytes} {start}-{end} {color}")
        };
        // Only the trace of the first allocation is replayed, so buffer 3 has no lifetime. Numbers at the peak give colours.
        let expect = [
            "allocation 2: 0+60000 0-4 #ffffff",
            "buffer 1: 0+20000 1-3 #2196f3",
            "buffer 2: 20000+30000 0-2 #e91e63",
            "allocation 7: 60000+100000 0-4 #ffffff",
        ];
        assert_eq!(blocks.list.iter().map(shown).collect::<Vec<_>>(), expect);
    }
}
