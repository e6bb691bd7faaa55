//! A module as a graph: who uses an instruction, who calls a computation, what a fusion hides.

use crate::hlo::{Computation, HloModule, Instruction, InstructionRef, Opcode, field};
use crate::{Error, Result};

/// What a name of the request stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// An instruction.
    Instruction(InstructionRef),
    /// A computation, by its position.
    Computation(u32),
}

/// Finds a node by name, in any case. A `%` before the name of an instruction does not count.
/// Of a computation and an instruction of one name, the computation is found.
pub fn find(module: &HloModule, node: &str) -> Result<Named> {
    if node.is_empty() {
        return Err(Error::Unsupported("node_name should not be empty".into()));
    }
    let same = |name: &str, wanted: &str| name.eq_ignore_ascii_case(wanted);
    if let Some(at) = module.computations.iter().position(|c| same(&c.name, node)) {
        return Ok(Named::Computation(at as u32));
    }
    let wanted = node.strip_prefix('%').unwrap_or(node);
    if let Some(at) = module.find(wanted) {
        return Ok(Named::Instruction(at));
    }
    for (c, computation) in module.computations.iter().enumerate() {
        if let Some(at) = computation.instructions.iter().position(|i| same(&i.name, wanted)) {
            return Ok(Named::Instruction(InstructionRef { computation: c as u32, instruction: at as u32 }));
        }
    }
    Err(Error::NotFound(format!("Couldn't find HloInstruction or HloComputation named {node}.")))
}

/// A module with the links that its instructions do not have: to users and callers.
#[derive(Debug)]
pub struct Program<'m> {
    /// The module.
    pub module: &'m HloModule,
    /// Number of the first instruction of each computation when all are counted through.
    offsets: Vec<usize>,
    /// Users of all instructions, one behind the other, and where those of each instruction begin.
    users: Vec<u32>,
    user_begins: Vec<usize>,
    /// The instructions that call each computation.
    callers: Vec<Vec<InstructionRef>>,
    /// The fusion whose body each computation is.
    fusions: Vec<Option<InstructionRef>>,
}

impl<'m> Program<'m> {
    /// Links a module up. Takes time and memory in proportion to it.
    pub fn new(module: &'m HloModule) -> Self {
        let mut offsets = Vec::with_capacity(module.computations.len());
        let mut callers = vec![Vec::new(); module.computations.len()];
        let mut n = 0;
        for (c, computation) in module.computations.iter().enumerate() {
            offsets.push(n);
            n += computation.instructions.len();
            for (i, instruction) in computation.instructions.iter().enumerate() {
                let at = InstructionRef { computation: c as u32, instruction: i as u32 };
                for &callee in &instruction.called {
                    if callers[callee as usize].last() != Some(&at) {
                        callers[callee as usize].push(at);
                    }
                }
            }
        }
        let is_fusion = |at: &&InstructionRef| module.instruction(**at).is_some_and(|i| i.opcode == Opcode::Fusion);
        let fusions = callers.iter().map(|callers: &Vec<_>| callers.iter().find(is_fusion).copied()).collect();
        let (users, user_begins) = users(module, &offsets, n);
        Self { module, offsets, users, user_begins, callers, fusions }
    }

    /// The instruction at a position of this module.
    pub fn get(&self, at: InstructionRef) -> &'m Instruction {
        &self.module.computations[at.computation as usize].instructions[at.instruction as usize]
    }

    /// All instructions of the module.
    pub fn instructions(&self) -> impl Iterator<Item = InstructionRef> + 'm {
        self.module.computations.iter().zip(0..).flat_map(|(body, computation)| {
            (0..body.instructions.len() as u32).map(move |instruction| InstructionRef { computation, instruction })
        })
    }

    /// The computation at a position of this module.
    pub fn computation(&self, at: u32) -> &'m Computation {
        &self.module.computations[at as usize]
    }

    /// The instruction's number when all of the module are counted through.
    pub fn number(&self, at: InstructionRef) -> usize {
        self.offsets[at.computation as usize] + at.instruction as usize
    }

    /// Who uses the value of an instruction, each once, in the order of the proto.
    pub fn users(&self, of: InstructionRef) -> impl ExactSizeIterator<Item = InstructionRef> + '_ {
        let number = self.number(of);
        let range = self.user_begins[number]..self.user_begins[number + 1];
        let computation = of.computation;
        self.users[range].iter().map(move |&instruction| InstructionRef { computation, instruction })
    }

    /// Whose values an instruction uses.
    pub fn operands(&self, of: InstructionRef) -> impl ExactSizeIterator<Item = InstructionRef> + 'm {
        let computation = of.computation;
        self.get(of).operands.iter().map(move |&instruction| InstructionRef { computation, instruction })
    }

    /// One of the instructions whose values an instruction uses.
    pub fn operand(&self, of: InstructionRef, n: usize) -> Option<InstructionRef> {
        let computation = of.computation;
        self.get(of).operands.get(n).map(|&instruction| InstructionRef { computation, instruction })
    }

    /// The instructions that call a computation, in the order of the proto.
    pub fn callers(&self, of: u32) -> &[InstructionRef] {
        &self.callers[of as usize]
    }

    /// The root of a computation.
    pub fn root(&self, of: u32) -> InstructionRef {
        InstructionRef { computation: of, instruction: self.computation(of).root }
    }

    /// The fusion whose body a computation is.
    pub fn fusion_of(&self, computation: u32) -> Option<InstructionRef> {
        self.fusions[computation as usize]
    }

    /// For a parameter of a fusion's body: what the fusion is given for it.
    pub fn fused_operand(&self, parameter: InstructionRef) -> Option<InstructionRef> {
        let instruction = self.get(parameter);
        if instruction.opcode != Opcode::Parameter {
            return None;
        }
        let fusion = self.fusion_of(parameter.computation)?;
        self.operand(fusion, usize::try_from(instruction.int(field::PARAMETER_NUMBER)).ok()?)
    }

    /// Whether a parameter of a fusion only hands on what an asynchronous collective has under way, whose start, work beside it
    /// and end are fusions of their own.
    pub fn hands_collective_on(&self, parameter: InstructionRef) -> bool {
        let is_part = |computation: u32| self.computation(computation).name.starts_with("async_collective_fusion");
        let calls = |at: InstructionRef, target: &str| {
            let instruction = self.get(at);
            instruction.opcode == Opcode::CustomCall && instruction.text(field::CUSTOM_CALL_TARGET) == target
        };
        let mut users = self.users(parameter);
        let (Some(user), None) = (users.next(), users.next()) else {
            return false;
        };
        let given = self.fused_operand(parameter).filter(|&at| self.get(at).opcode == Opcode::GetTupleElement);
        let from = given.and_then(|at| self.operand(at, 0)).filter(|&at| self.get(at).opcode == Opcode::Fusion);
        let Some(&body) = from.and_then(|at| self.get(at).called.first()) else {
            return false;
        };
        let goes_through = is_part(parameter.computation) && self.is_root(user);
        goes_through && calls(self.root(body), "AsyncCollectiveStart")
            || is_part(body) && calls(user, "AsyncCollectiveDone")
    }

    /// Whether the instruction is the result of its computation.
    pub fn is_root(&self, at: InstructionRef) -> bool {
        self.computation(at.computation).root == at.instruction
    }
}

/// Users by instruction in one list, and where those of each begin.
fn users(module: &HloModule, offsets: &[usize], n: usize) -> (Vec<u32>, Vec<usize>) {
    // Each user once, however often it uses the value.
    let each = |visit: &mut dyn FnMut(usize, u32)| {
        for (computation, &offset) in module.computations.iter().zip(offsets) {
            for (i, instruction) in computation.instructions.iter().enumerate() {
                let mut seen: smallvec::SmallVec<[u32; 8]> = instruction.operands.iter().copied().collect();
                seen.sort_unstable();
                seen.dedup();
                for operand in seen {
                    visit(offset + operand as usize, i as u32);
                }
            }
        }
    };
    let mut begins = vec![0; n + 1];
    each(&mut |used, _| begins[used + 1] += 1);
    for at in 0..n {
        begins[at + 1] += begins[at];
    }
    let mut free = begins.clone();
    let mut users = vec![0; begins[n]];
    each(&mut |used, user| {
        users[free[used]] = user;
        free[used] += 1;
    });
    (users, begins)
}
