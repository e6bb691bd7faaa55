//! Replays how the compiler packed arrays into memory.
//!
//! Takes the events of one heap trace, gives the memory in use before each of them, the arrays alive at the peak and when each
//! array lives. Linear in the number of events: the arrays alive at the peak are found afterwards, from births and deaths.

use super::program::Program;
use crate::diag::ProblemKind;
use crate::hlo::Span;
use crate::hlo::buffers::{HeapAction, HeapEvent};
use crate::{Diag, Error, Result};

/// No position.
const NONE: u32 = u32::MAX;
/// So many links from an array to the one whose memory it uses are followed in one replay. Compilers link to the owner itself.
const MAX_LINK_STEPS: u64 = 1 << 26;

/// When an array lives, as positions of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The event at which it gets its memory.
    pub start: u32,
    /// The event at which it gives it back, the last one if it never does.
    pub limit: u32,
}

/// The memory in use before an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// With padding, in bytes.
    pub heap_bytes: i128,
    /// Without padding, in bytes.
    pub unpadded_bytes: i128,
    /// The instruction at which the event happens, a text of the program.
    pub instruction_name: Span,
}

/// What the replay of a heap trace found.
#[derive(Debug, Default)]
pub struct Simulation {
    /// One step per event, and one for the end. Empty if nothing was replayed.
    pub steps: Vec<Step>,
    /// The most memory in use, in bytes with padding.
    pub peak_bytes: i128,
    /// The memory in use then, in bytes without padding.
    pub peak_unpadded_bytes: i128,
    /// The event that reached the peak.
    pub peak_position: u32,
    /// The arrays alive at the peak in the order of their births, as positions in the program.
    pub live_at_peak: Vec<u32>,
    /// When the arrays of the program live; `None` for those that the trace does not show by themselves.
    pub lifetimes: Vec<Option<Lifetime>>,
}

/// Replays one heap trace.
pub fn run(program: &Program, events: &[HeapEvent], diag: &mut Diag) -> Result<Simulation> {
    let mut replay = Replay::new(program, events.len());
    for (event, position) in events.iter().zip(0u32..) {
        if position % 65_536 == 0 {
            diag.check()?;
        }
        replay.push_step(event.instruction_name);
        match program.find(event.buffer_id) {
            Some(buffer) => replay.event(event, buffer, position)?,
            None => replay.n_unknown += 1,
        }
    }
    replay.push_step(Span::default());
    diag.count_n(ProblemKind::MalformedEntry, replay.n_unknown, || "heap events of unknown buffers".into());
    Ok(replay.finish())
}

/// A time in which an array's memory counts.
struct Life {
    /// The array that is shown: the owner of the memory, or the one that uses it anew.
    shown: u32,
    born: u32,
    died: u32,
    /// An earlier life of the same array that may not have ended, or [`NONE`].
    earlier: u32,
}

struct Replay<'p> {
    program: &'p Program,
    n_events: u32,
    out: Simulation,
    lives: Vec<Life>,
    /// By array: how many use its memory.
    n_users: Vec<i64>,
    /// By array: the one whose memory it uses, or [`NONE`].
    owners: Vec<u32>,
    /// By array: the one that uses its memory anew, or [`NONE`].
    shown: Vec<u32>,
    /// By array: its latest life that has not ended, or [`NONE`].
    latest_life: Vec<u32>,
    heap_bytes: i128,
    unpadded_bytes: i128,
    allocation: Option<u32>,
    n_link_steps: u64,
    n_unknown: u64,
}

impl<'p> Replay<'p> {
    fn new(program: &'p Program, n_events: usize) -> Self {
        let n = program.buffers.len();
        let out =
            Simulation { lifetimes: vec![None; n], steps: Vec::with_capacity(n_events + 1), ..Simulation::default() };
        Self {
            program,
            n_events: n_events as u32,
            out,
            lives: Vec::new(),
            n_users: vec![0; n],
            owners: vec![NONE; n],
            shown: vec![NONE; n],
            latest_life: vec![NONE; n],
            heap_bytes: 0,
            unpadded_bytes: 0,
            allocation: None,
            n_link_steps: 0,
            n_unknown: 0,
        }
    }

    fn push_step(&mut self, instruction_name: Span) {
        let (heap_bytes, unpadded_bytes) = (self.heap_bytes, self.unpadded_bytes);
        self.out.steps.push(Step { heap_bytes, unpadded_bytes, instruction_name });
    }

    fn event(&mut self, event: &HeapEvent, buffer: u32, at: u32) -> Result<()> {
        let allocation = self.program.buffer(buffer).allocation;
        if *self.allocation.get_or_insert(allocation) != allocation {
            return Err(contradiction("its events are about more than one allocation"));
        }
        match event.action {
            HeapAction::Alloc => return self.alloc(buffer, at),
            HeapAction::Free => return self.free(buffer, at),
            HeapAction::ShareWith => match self.program.find(event.canonical_id) {
                Some(with) => return self.share(buffer, with, at),
                None => self.n_unknown += 1,
            },
            HeapAction::Unknown => self.n_unknown += 1,
        }
        Ok(())
    }

    /// parity: an array that shares memory and gets some again is a further user of what it shares, yet its own size counts.
    fn alloc(&mut self, buffer: u32, at: u32) -> Result<()> {
        let root = self.root(buffer, NONE)?;
        self.n_users[root as usize] += 1;
        self.grow(buffer, at);
        self.begin(buffer, at);
        Ok(())
    }

    fn share(&mut self, buffer: u32, with: u32, at: u32) -> Result<()> {
        let root = self.root(with, buffer)?;
        self.owners[buffer as usize] = with;
        self.n_users[root as usize] += 1;
        if self.n_users[root as usize] == 1 {
            self.shown[root as usize] = buffer;
            self.begin(buffer, at);
            self.grow(root, at);
        }
        Ok(())
    }

    fn free(&mut self, buffer: u32, at: u32) -> Result<()> {
        let root = self.root(buffer, NONE)?;
        let n_users = &mut self.n_users[root as usize];
        *n_users -= 1;
        if *n_users < 0 {
            let id = self.program.buffer(buffer).logical.id;
            return Err(contradiction(&format!("buffer {id} is freed more often than it is used")));
        }
        if *n_users == 0 {
            let mut life = std::mem::replace(&mut self.latest_life[root as usize], NONE);
            while let Some(ended) = self.lives.get_mut(life as usize) {
                ended.died = at;
                life = ended.earlier;
            }
            let owner = self.program.buffer(root);
            self.heap_bytes -= i128::from(owner.logical.size_bytes);
            self.unpadded_bytes -= i128::from(owner.unpadded_bytes);
            if self.heap_bytes < 0 {
                return Err(contradiction("more memory is freed than was in use"));
            }
            if self.shown[root as usize] == NONE {
                self.end(root, at);
            }
        }
        if self.owners[buffer as usize] != NONE {
            self.end(buffer, at);
        }
        Ok(())
    }

    fn begin(&mut self, buffer: u32, at: u32) {
        self.out.lifetimes[buffer as usize] = Some(Lifetime { start: at, limit: self.n_events.saturating_sub(1) });
    }

    fn end(&mut self, buffer: u32, at: u32) {
        if let Some(lifetime) = &mut self.out.lifetimes[buffer as usize] {
            lifetime.limit = at;
        }
    }

    fn grow(&mut self, root: u32, at: u32) {
        let owner = self.program.buffer(root);
        let shown = self.shown[root as usize];
        let life = Life {
            shown: if shown == NONE { root } else { shown },
            born: at,
            died: NONE,
            earlier: self.latest_life[root as usize],
        };
        self.latest_life[root as usize] = self.lives.len() as u32;
        self.lives.push(life);
        self.heap_bytes += i128::from(owner.logical.size_bytes);
        self.unpadded_bytes += i128::from(owner.unpadded_bytes);
        if self.heap_bytes > self.out.peak_bytes {
            self.out.peak_bytes = self.heap_bytes;
            self.out.peak_unpadded_bytes = self.unpadded_bytes;
            self.out.peak_position = at;
        }
    }

    /// The array that owns the memory which an array uses. It must not be reached over `newcomer`: that would be a circle.
    fn root(&mut self, mut buffer: u32, newcomer: u32) -> Result<u32> {
        loop {
            if buffer == newcomer {
                return Err(contradiction("buffers share memory in a circle"));
            }
            let owner = self.owners[buffer as usize];
            if owner == NONE {
                return Ok(buffer);
            }
            buffer = owner;
            self.n_link_steps += 1;
            if self.n_link_steps > MAX_LINK_STEPS {
                return Err(contradiction("buffers share memory in chains that are too long"));
            }
        }
    }

    fn finish(mut self) -> Simulation {
        let peak = self.out.peak_position;
        if self.out.peak_bytes > 0 {
            let is_live = |life: &&Life| life.born <= peak && peak < life.died;
            self.out.live_at_peak = self.lives.iter().filter(is_live).map(|life| life.shown).collect();
        }
        self.out
    }
}

fn contradiction(reason: &str) -> Error {
    Error::Unsupported(format!("the heap trace of the module contradicts itself: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::memory_viewer::testing::Memory;

    /// Buffers 1, 2, 3, 4 of 10, 20, 40, 80 bytes in one allocation, and 9 in another one.
    fn replay(events: &str) -> (Result<Simulation>, Vec<u64>) {
        let memory = [1, 2, 3, 4].iter().fold(Memory::default(), |memory, &id| memory.buffer(id, 5 << id, 1, &[]));
        let memory = memory.buffer(9, 1, 1, &[]).allocation(0, 200, &[], &[(1, 0), (2, 0), (3, 0), (4, 0)]);
        let (program, _) = memory.allocation(1, 1, &[], &[(9, 0)]).trace(events).program();
        let mut diag = Diag::new();
        let outcome = run(&program, &program.heap_traces[0], &mut diag);
        (outcome, diag.problems().map(|problem| problem.count).collect())
    }

    /// The heap before each event and at the end, the ids alive at the peak, and lifetimes as `id:start-limit`.
    fn check(events: &str, heap: &[i128], live: &[u32], lifetimes: &str) {
        let simulation = replay(events).0.expect(events);
        let heap_bytes: Vec<i128> = simulation.steps.iter().map(|step| step.heap_bytes).collect();
        assert_eq!(heap_bytes, heap, "{events}");
        let live_ids: Vec<u32> = simulation.live_at_peak.iter().map(|at| at + 1).collect();
        assert_eq!(live_ids, live, "{events}");
        let with_lifetime = (1..).zip(&simulation.lifetimes).filter_map(|(id, lifetime)| Some((id, (*lifetime)?)));
        let found: Vec<String> =
            with_lifetime.map(|(id, life): (u32, _)| format!("{id}:{}-{}", life.start, life.limit)).collect();
        assert_eq!(found.join(" "), lifetimes, "{events}");
    }

    #[test]
    fn replays_events() {
        check("", &[0], &[], "");
        check("+1 +2 -1 +3 -2 -3", &[0, 10, 30, 20, 60, 40, 0], &[2, 3], "1:0-2 2:1-4 3:3-5");
        check("+1 +2", &[0, 10, 30], &[1, 2], "1:0-1 2:1-1");
        // A sharer keeps the memory in use.
        check("+1 2>1 -1 -2", &[0, 10, 10, 10, 0], &[1], "1:0-3");
        // Memory that was given back and is used anew is shown by its new user.
        check("+3 -3 2>3 +1 -2", &[0, 40, 0, 40, 50, 10], &[2, 1], "1:3-4 2:2-4 3:0-1");
        // Allocated twice, freed twice, but its size is given back once.
        check("+1 +1 -1 -1", &[0, 10, 20, 20, 10], &[1, 1], "1:1-3");
        // A sharer that gets memory of its own is a further user, and its own size counts.
        check("+2 1>2 +1 -1 -2 -1", &[0, 20, 20, 30, 30, 30, 10], &[2, 1], "1:2-5 2:0-5");
    }

    #[test]
    fn refuses_contradictions() {
        let check = |events: &str, reason: &str| {
            let error = replay(events).0.expect_err(events).to_string();
            assert_eq!(error, format!("the heap trace of the module contradicts itself: {reason}"));
        };
        check("+1 -1 -1", "buffer 1 is freed more often than it is used");
        check("-2", "buffer 2 is freed more often than it is used");
        check("+1 +9", "its events are about more than one allocation");
        check("+1 1>1", "buffers share memory in a circle");
        check("1>2 2>3 3>1", "buffers share memory in a circle");
        check("1>4 -1 +1 -1", "more memory is freed than was in use");
    }

    #[test]
    fn counts_events_of_unknown_buffers() {
        let (outcome, problems) = replay("+1 +77 1>78 -79");
        assert_eq!((outcome.expect("a result").steps.len(), problems), (5, vec![3]));
    }
}
