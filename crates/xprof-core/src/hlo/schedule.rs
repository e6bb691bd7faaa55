//! The order in which instructions run.
//!
//! Takes `xla.HloScheduleProto` bytes and the computations that were read, gives each its order; refuses an order that is
//! impossible. Which computations must have one is checked with the rest of the module.

use rustc_hash::FxHashMap;

use super::HloError;
use super::module::Computation;
use super::proto::{Ints, each_field, push_ints};
use crate::wire::Value;

/// Reads an `HloScheduleProto`; each sequence must name every instruction of its computation exactly once.
pub(super) fn read(data: &[u8], ids: &FxHashMap<i64, u32>, computations: &mut [Computation]) -> Result<(), HloError> {
    each_field(data, |number, value| {
        let (1, Value::Bytes(entry)) = (number, value) else {
            return Ok(());
        };
        let (mut id, mut sequence) = (0, Ints::new());
        each_field(entry, |number, value| match (number, value) {
            (1, Value::Varint(v)) => {
                id = v as i64;
                Ok(())
            }
            (2, Value::Bytes(part)) => {
                each_field(part, |n, value| if n == 1 { push_ints(&mut sequence, value) } else { Ok(()) })
            }
            _ => Ok(()),
        })?;
        // Sequences of computations that are gone do no harm.
        let Some(computation) = ids.get(&id).and_then(|&at| computations.get_mut(at as usize)) else {
            return Ok(());
        };
        let places: FxHashMap<u32, u32> =
            computation.instructions.iter().enumerate().map(|(at, i)| (i.id, at as u32)).collect();
        let mut scheduled = vec![false; computation.instructions.len()];
        let mut order = Vec::with_capacity(sequence.len());
        for id in sequence {
            let at = places.get(&(id as u32)).copied();
            let fresh = at.and_then(|at| scheduled.get_mut(at as usize)).is_some_and(|s| !std::mem::replace(s, true));
            let Some(at) = at.filter(|_| fresh) else {
                return Err(HloError::invalid(format!("schedule names instruction {id} wrongly")));
            };
            let instruction = &computation.instructions[at as usize];
            if !instruction.operands.iter().chain(&instruction.predecessors).all(|&before| scheduled[before as usize]) {
                return Err(HloError::invalid(format!("schedule runs {} before its operands", instruction.name)));
            }
            order.push(at);
        }
        if order.len() != scheduled.len() {
            return Err(HloError::invalid(format!("schedule of {} is incomplete", computation.name)));
        }
        computation.schedule = Some(order);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::hlo::HloModule;
    use crate::hlo::testing::{Comp, f32s, int, ints, message, module};

    fn check(ids: &[i64], expect: Result<&[u32], &str>) {
        let entry = Comp::new(0, &[f32s(&[]), f32s(&[])]).add("x", "add", &f32s(&[]), &["p0", "p1"], &[]);
        let sequence = message(1, [int(1, 0), message(2, ints(1, ids))].concat());
        // A sequence of a computation that is gone is no harm.
        let gone = message(1, int(1, 77));
        let proto = module(&[entry], &message(7, [sequence, gone].concat()));
        let got = HloModule::from_hlo_proto(&proto).map_err(|error| error.to_string());
        let got = got.map(|module| module.entry().schedule.clone().unwrap_or_default());
        assert_eq!(got, expect.map(<[u32]>::to_vec).map_err(str::to_string), "{ids:?}");
    }

    #[test]
    fn accepts_only_possible_orders() {
        check(&[1, 2, 3], Ok(&[0, 1, 2]));
        check(&[2, 1, 3], Ok(&[1, 0, 2]));
        check(&[1, 2], Err("schedule of comp0 is incomplete"));
        check(&[1, 1, 2], Err("schedule names instruction 1 wrongly"));
        check(&[3, 1, 2], Err("schedule runs x before its operands"));
    }
}
