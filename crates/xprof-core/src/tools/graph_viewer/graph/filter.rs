//! Which instructions of a graph are shown, and how.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::program::Program;
use crate::hlo::{InstructionRef, Opcode, Shape};

/// The users of a node that has more are not followed.
pub const MAX_USERS: usize = 16;

/// So many instructions around a node are shown at most.
pub const MAX_AROUND: usize = 1000;

/// A tuple parameter that has more shown users is written into them.
const MAX_TUPLE_USERS: usize = 3;

/// Instructions that may wait to be looked at.
const MAX_WAITING: usize = 100_000;

/// How an instruction is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Not at all.
    Hidden,
    /// As it is.
    Normal,
    /// As the centre.
    Centre,
    /// Without some of what it uses.
    SomeOperandsOmitted,
    /// Without anything that it uses.
    OperandsOmitted,
    /// Without some of its users.
    SomeUsersOmitted,
}

/// What is shown of one computation and of those it calls.
#[derive(Debug)]
pub struct Filter {
    /// The computation that is drawn.
    pub computation: u32,
    /// States of its shown instructions; all are shown as they are if there is none.
    around: Option<FxHashMap<InstructionRef, Shown>>,
    /// Tuple parameters that are written into their users, see [`Filter::spreads`].
    spread: FxHashSet<InstructionRef>,
    /// Shown instructions with more users than are followed, not all of which are shown.
    pub crowded: Vec<InstructionRef>,
    /// Instructions within the distance for which there was no room; more may lie behind them.
    pub n_left_out: usize,
}

impl Filter {
    /// Everything.
    pub fn everything(program: &Program<'_>, computation: u32) -> Self {
        Self { computation, around: None, spread: FxHashSet::default(), crowded: Vec::new(), n_left_out: 0 }
            .with_spread(program)
    }

    /// What lies within a distance of a node, nearest first.
    ///
    /// `parity:` a step to or from a bitcast is none; the operands of a tuple and the users of a constant are not followed,
    /// nor the users of a node that has more than 16; called computations are followed to their roots.
    pub fn around(program: &Program<'_>, centre: InstructionRef, distance: u32) -> Self {
        let mut walk = Walk::default();
        walk.queue.push_back((centre, 0));
        let mut left_out = FxHashSet::default();
        while let Some((at, depth)) = walk.queue.pop_front() {
            if walk.depths.len() >= MAX_AROUND && !walk.depths.contains_key(&at) {
                left_out.insert(at);
                continue;
            }
            // Only a shorter way to the same node can lead further than the one before.
            if walk.depths.get(&at).is_some_and(|&before| before <= depth) {
                continue;
            }
            walk.depths.insert(at, depth);
            if depth < distance {
                walk.expand(program, centre, at, depth);
            }
        }
        let mut around: FxHashMap<_, _> = walk.depths.keys().map(|&at| (at, walk.state(program, centre, at))).collect();
        // They count as shown for the nodes that use them.
        let plumbing = program.instructions().filter(|&at| at != centre && program.hands_collective_on(at));
        around.extend(plumbing.map(|at| (at, Shown::Hidden)));
        let n_left_out = left_out.len() + walk.n_dropped;
        let mut crowded: Vec<_> =
            walk.depths.keys().copied().filter(|&at| walk.is_crowded(program, centre, at)).collect();
        crowded.sort_by_key(|at| (at.computation, at.instruction));
        let spread = FxHashSet::default();
        Self { computation: centre.computation, around: Some(around), spread, crowded, n_left_out }.with_spread(program)
    }

    /// Finds the tuple parameters outside fusions that are only taken apart, and so often that their edges would cover the
    /// graph.
    fn with_spread(mut self, program: &Program<'_>) -> Self {
        let is_tuple_parameter = |&at: &InstructionRef| {
            program.get(at).opcode == Opcode::Parameter
                && matches!(&*program.get(at).shape, Shape::Tuple(_))
                && program.fusion_of(at.computation).is_none()
        };
        let tuples = program.instructions().filter(is_tuple_parameter);
        self.spread = tuples.filter(|&at| self.is_spread(program, at)).collect();
        self
    }

    fn is_spread(&self, program: &Program<'_>, at: InstructionRef) -> bool {
        let mut n = 0;
        for user in program.users(at).filter(|&user| self.shows(user)) {
            if program.get(user).opcode != Opcode::GetTupleElement {
                return false;
            }
            n += 1;
        }
        n > MAX_TUPLE_USERS
    }

    /// Whether a tuple parameter is written into its users instead of being drawn.
    pub fn spreads(&self, at: InstructionRef) -> bool {
        self.spread.contains(&at)
    }

    /// How an instruction is shown. What other computations hold is shown whole.
    pub fn shown(&self, at: InstructionRef) -> Shown {
        match &self.around {
            Some(around) => around.get(&at).copied().unwrap_or(if at.computation == self.computation {
                Shown::Hidden
            } else {
                Shown::Normal
            }),
            None => Shown::Normal,
        }
    }

    /// Whether an instruction is shown.
    pub fn shows(&self, at: InstructionRef) -> bool {
        self.shown(at) != Shown::Hidden
    }

    /// Whether a part of what an instruction uses is not shown.
    pub fn omits_operands(&self, at: InstructionRef) -> bool {
        matches!(self.shown(at), Shown::SomeOperandsOmitted | Shown::OperandsOmitted)
    }
}

/// A walk around a node.
#[derive(Default)]
struct Walk {
    /// Shortest distance of what was reached.
    depths: FxHashMap<InstructionRef, u32>,
    queue: VecDeque<(InstructionRef, u32)>,
    /// Those that did not get into the queue.
    n_dropped: usize,
}

impl Walk {
    fn expand(&mut self, program: &Program<'_>, centre: InstructionRef, at: InstructionRef, depth: u32) {
        let opcode = program.get(at).opcode;
        if at == centre || opcode != Opcode::Tuple {
            for operand in program.operands(at) {
                if !self.depths.contains_key(&operand) {
                    let is_free = opcode == Opcode::Bitcast || program.get(operand).opcode == Opcode::Bitcast;
                    self.push(operand, if is_free { depth } else { depth + 1 });
                }
            }
        }
        for &callee in &program.get(at).called {
            self.push(program.root(callee), depth + 1);
        }
        let users = program.users(at);
        if opcode != Opcode::Constant && users.len() <= MAX_USERS {
            for user in users {
                if !self.depths.contains_key(&user) {
                    self.push(user, depth + 1);
                }
            }
        }
    }

    fn push(&mut self, at: InstructionRef, depth: u32) {
        if self.queue.len() < MAX_WAITING {
            self.queue.push_back((at, depth));
        } else {
            self.n_dropped += 1;
        }
    }

    fn state(&self, program: &Program<'_>, centre: InstructionRef, at: InstructionRef) -> Shown {
        if at == centre {
            return Shown::Centre;
        }
        let shows = |other: InstructionRef| self.shows(program, centre, other);
        let n_operands = program.operands(at).len();
        let n_shown = program.operands(at).filter(|&operand| shows(operand)).count();
        if n_shown > 0 && n_shown < n_operands {
            Shown::SomeOperandsOmitted
        } else if n_operands > 0 && n_shown == 0 {
            Shown::OperandsOmitted
        } else if self.is_crowded(program, centre, at) {
            Shown::SomeUsersOmitted
        } else {
            Shown::Normal
        }
    }

    /// Whether a node has more users than are followed, and some of them are not shown.
    fn is_crowded(&self, program: &Program<'_>, centre: InstructionRef, at: InstructionRef) -> bool {
        program.get(at).opcode != Opcode::Constant
            && program.users(at).len() > MAX_USERS
            && !program.users(at).all(|user| self.shows(program, centre, user))
    }

    fn shows(&self, program: &Program<'_>, centre: InstructionRef, at: InstructionRef) -> bool {
        self.depths.contains_key(&at)
            || at.computation != centre.computation
            || program.get(at).opcode == Opcode::Constant
    }
}
