//! The scratch memory that single instructions reserve in VMEM.
//!
//! Takes a program's instructions and reads their backend configurations, those of them that are JSON.

use serde_json::Value;

use crate::hlo::Span;
use crate::hlo::outline::Outline;

const CONFIGS: &str = "used_scoped_memory_configs";
/// The number of VMEM among memory spaces.
pub const VMEM: i64 = 1;

/// The largest reservation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ScopedVmem {
    /// Its size in bytes; 0 if there is none.
    pub bytes: i64,
    /// The first instruction that has it, a text of the module.
    pub instruction_name: Span,
}

/// The largest reservation of a module's instructions.
pub fn largest(outline: &Outline) -> ScopedVmem {
    let mut largest = ScopedVmem::default();
    for &proto in &outline.instructions {
        let Ok(instruction) = outline.instruction(proto) else { continue };
        let config = outline.bytes(instruction.backend_config);
        // Parsing is the expensive part, and few configurations have one.
        let bytes = if contains(config, CONFIGS.as_bytes()) { reserved_bytes(config) } else { 0 };
        if bytes > largest.bytes {
            largest = ScopedVmem { bytes, instruction_name: instruction.name };
        }
    }
    largest
}

/// The largest size among the reservations in VMEM of one configuration.
fn reserved_bytes(config: &[u8]) -> i64 {
    let Ok(config) = serde_json::from_slice::<Value>(config) else { return 0 };
    let entries = config.get(CONFIGS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let in_vmem = entries.iter().filter(|entry| entry.get("memory_space").and_then(integer) == Some(VMEM));
    in_vmem.filter_map(|entry| entry.get("size").and_then(integer)).max().unwrap_or(0).max(0)
}

/// Numbers of 64 bits are often strings in JSON. Numbers proper may be written with a fraction.
fn integer(value: &Value) -> Option<i64> {
    let number = || value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
    number().or_else(|| value.as_str()?.trim().parse().ok())
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    text.windows(pattern.len()).any(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{Comp, f32s, message, module};

    fn check(configs: &[&str], expect: (i64, &str)) {
        let shape = f32s(&[]);
        let entry =
            configs.iter().enumerate().fold(Comp::new(0, std::slice::from_ref(&shape)), |entry, (n, config)| {
                entry.add(&format!("i{n}"), "negate", &shape, &["p0"], &message(43, config))
            });
        let outline = Outline::from_hlo_proto(&module(&[entry], &[])).expect("protobuf");
        let largest = largest(&outline);
        assert_eq!((largest.bytes, &*outline.text(largest.instruction_name)), expect);
    }

    #[test]
    fn finds_the_first_of_the_largest() {
        check(&["{}", "no json used_scoped_memory_configs", ""], (0, ""));
        let of = |space: &str, size: &str| {
            format!(r#"{{"used_scoped_memory_configs":[{{"memory_space":{space},"offset":"0","size":{size}}}]}}"#)
        };
        let [small, large, other, negative] = [of("1", "5"), of(r#""1""#, r#""7""#), of("0", "9"), of("1", "-4")];
        check(&[&negative, &small, &other, &large, &large], (7, "i3"));
        check(&[r#"{"used_scoped_memory_configs":{"memory_space":1,"size":3}}"#], (0, ""));
    }
}
