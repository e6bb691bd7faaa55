//! Questions about an HLO proto that do not need the module to be built.
//!
//! Take the bytes of an `xla.HloProto` and read only the fields that matter; must not allocate per instruction.

use bytes::Bytes;

use super::HloError;
use super::module::HloModule;
use super::proto::{each_field, text};
use crate::op_name;
use crate::wire::Value;

/// The name of the module as written in the proto, empty if it has none.
pub fn module_name_of(hlo_proto: &[u8]) -> Result<&str, HloError> {
    let mut name: &[u8] = &[];
    each_field(hlo_proto, |number, value| {
        if let (1, Value::Bytes(module)) = (number, value) {
            each_field(module, |number, value| {
                if let (1, Value::Bytes(part)) = (number, value) {
                    name = part;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    text(name)
}

/// Whether the module belongs to a training step: whether any instruction, dead ones too, belongs to a backward pass by the
/// name and type of its framework op. A module that cannot be used shows nothing.
///
/// Building the module is the expensive part, so it is built only after a scan has found a gradient.
pub fn shows_training(hlo_proto: &Bytes) -> bool {
    has_gradient(hlo_proto) == Ok(true) && HloModule::from_hlo_proto(hlo_proto).is_ok()
}

fn has_gradient(hlo_proto: &[u8]) -> Result<bool, HloError> {
    // The fields on the way down: the module, its computations, their instructions, their metadata.
    descend(hlo_proto, &[1, 3, 2, 7], &mut |metadata| {
        let (mut op_type, mut name): (&[u8], &[u8]) = (&[], &[]);
        each_field(metadata, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => op_type = part,
                (2, Value::Bytes(part)) => name = part,
                _ => {}
            }
            Ok(())
        })?;
        Ok(op_name::is_gradient(text(name)?, text(op_type)?))
    })
}

/// Calls `visit` with every message at the end of a path of field numbers until it returns true; whether it did.
/// The path is a constant of a few steps, so the recursion is bounded.
fn descend(
    data: &[u8],
    path: &[u32],
    visit: &mut dyn FnMut(&[u8]) -> Result<bool, HloError>,
) -> Result<bool, HloError> {
    let Some((&step, rest)) = path.split_first() else {
        return visit(data);
    };
    let mut done = false;
    each_field(data, |number, value| {
        if let Value::Bytes(part) = value
            && number == step
            && !done
        {
            done = descend(part, rest, visit)?;
        }
        Ok(())
    })?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![field << 3 | 2, content.len() as u8];
        out.extend(content);
        out
    }

    fn check(op_name: &str, op_type: &str, expect: bool) {
        let metadata = [message(1, op_type.as_bytes()), message(2, op_name.as_bytes())].concat();
        let computation = message(2, &message(7, &metadata));
        let module = [message(1, b"jit_f"), message(3, &computation)].concat();
        let proto = message(1, &module);
        assert_eq!(module_name_of(&proto), Ok("jit_f"));
        assert_eq!(has_gradient(&proto), Ok(expect), "{op_name}");
        // There is no program shape in it, so it is no module.
        assert!(!shows_training(&Bytes::from(proto)));
    }

    #[test]
    fn reads_names_without_building() {
        check("jit(f)/transpose(jvp(f))/mul", "", true);
        check("jit(f)/mul", "", false);
        check("a/gradient_tape/b", "Mul", true);
        assert_eq!(module_name_of(&[]), Ok(""));
        assert_eq!(has_gradient(&[]), Ok(false));
        assert!(module_name_of(&[0x0a, 9]).is_err());
    }
}
