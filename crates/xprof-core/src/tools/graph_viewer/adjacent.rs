//! The instructions around one: what it uses and what uses it.

use super::graph::program::{Named, Program, find};
use crate::answer::json::{Dialect, JsonWriter};
use crate::hlo::{HloModule, InstructionRef};
use crate::{Error, Result};

/// So many instructions are walked through in one direction, and so many may wait to be: a hostile module has ways without
/// end through get-tuple-elements, whether or not they lead to a name.
const MAX_WALKED: usize = 1 << 20;

/// Writes names of operands and users.
pub(super) fn write(module: &HloModule, node: &str, out: &mut Vec<u8>) -> Result<()> {
    let at = match find(module, node)? {
        Named::Instruction(at) => at,
        Named::Computation(_) => {
            return Err(Error::Unsupported("GetAdjacentNodes is not implemented for HloComputation.".into()));
        }
    };
    let program = Program::new(module);
    let operands = through_tuples(&program, at, |program, at| program.operands(at).collect());
    let users = through_tuples(&program, at, |program, at| program.users(at).collect());
    let mut json = JsonWriter::new(out, Dialect::Proto);
    json.begin_object();
    for (key, names) in [("consumer_names", &users), ("operand_names", &operands)] {
        json.key(key).begin_array();
        for name in names {
            json.string(name);
        }
        json.end_array();
    }
    json.end_object();
    Ok(())
}

/// The names of the neighbours in one direction. A get-tuple-element only passes values on: its own neighbours count.
fn through_tuples<'m>(
    program: &Program<'m>,
    at: InstructionRef,
    next: impl Fn(&Program<'m>, InstructionRef) -> Vec<InstructionRef>,
) -> Vec<&'m str> {
    let mut names = Vec::new();
    let mut open = next(program, at);
    open.reverse();
    for _ in 0..MAX_WALKED {
        let Some(at) = open.pop().filter(|_| open.len() < MAX_WALKED) else { break };
        let name = &*program.get(at).name;
        if name.starts_with("get-tuple-element") {
            open.extend(next(program, at).into_iter().rev());
        } else {
            names.push(name);
        }
    }
    names
}
