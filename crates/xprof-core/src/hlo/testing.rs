//! Builds HLO protos for the unit tests of this module.
//!
//! Names are ids here: an instruction is referred to by the name it was given, a computation by its number.

use bytes::Bytes;

use super::facts::HloModuleFacts;

/// Appends a varint.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// An integer field.
pub(crate) fn int(field: u32, number: i64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(field) << 3, &mut out);
    varint(number as u64, &mut out);
    out
}

/// A field of text, bytes or a message.
pub(crate) fn message(field: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(field) << 3 | 2, &mut out);
    varint(content.as_ref().len() as u64, &mut out);
    out.extend(content.as_ref());
    out
}

/// A repeated integer field.
pub(crate) fn ints(field: u32, numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|&n| int(field, n)).collect()
}

/// The shape of an array with elements of that type number, with the usual layout.
pub(crate) fn array(element: i64, dims: &[i64]) -> Vec<u8> {
    let order: Vec<i64> = (0..dims.len() as i64).rev().collect();
    [int(2, element), ints(3, dims), message(5, ints(1, &order))].concat()
}

/// The shape of an array of `f32`.
pub(crate) fn f32s(dims: &[i64]) -> Vec<u8> {
    array(11, dims)
}

/// The shape of a tuple.
pub(crate) fn tuple(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().fold(int(2, 13), |shape, part| [shape, message(4, part)].concat())
}

/// A computation that grows.
pub(crate) struct Comp {
    id: i64,
    name: String,
    instructions: Vec<u8>,
    names: Vec<String>,
    /// The id of the result if it is not the last instruction.
    root: Option<i64>,
}

impl Comp {
    /// A computation with parameters `p0`, `p1`, ... of these shapes, their names prefixed with `{id}.` unless the id is 0.
    pub(crate) fn new(id: i64, parameters: &[Vec<u8>]) -> Self {
        let mut comp = Self { id, name: format!("comp{id}"), instructions: Vec::new(), names: Vec::new(), root: None };
        for (n, shape) in parameters.iter().enumerate() {
            comp = comp.add(&format!("p{n}"), "parameter", shape, &[], &int(9, n as i64));
        }
        comp
    }

    /// The same computation under another name than `comp{id}`.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The same computation with its `n`th instruction, counted from 1, as the root.
    pub(crate) fn rooted(mut self, n: i64) -> Self {
        self.root = Some(n);
        self
    }

    /// Adds an instruction; the last one is the root. `extra` are further fields of the proto.
    pub(crate) fn add(mut self, name: &str, opcode: &str, shape: &[u8], operands: &[&str], extra: &[u8]) -> Self {
        let full = |name: &str| {
            if self.id == 0 { name.to_owned() } else { format!("c{}.{name}", self.id) }
        };
        let ids = operands.iter().map(|operand| {
            let place = self.names.iter().position(|name| name == operand);
            place.expect("operands are added before their users") as i64 + 1
        });
        let ids: Vec<i64> = ids.collect();
        let fields = [
            message(1, full(name)),
            message(2, opcode),
            message(3, shape),
            int(35, self.names.len() as i64 + 1),
            ints(36, &ids),
            extra.to_vec(),
        ];
        self.instructions.extend(message(2, fields.concat()));
        self.names.push(name.to_owned());
        self
    }

    fn proto(&self) -> Vec<u8> {
        let root = int(6, self.root.unwrap_or(self.names.len() as i64));
        [message(1, &self.name), self.instructions.clone(), int(5, self.id), root].concat()
    }
}

/// An `HloProto` of these computations; the last one is the entry. `extra` are further fields of the module.
pub(crate) fn module(computations: &[Comp], extra: &[u8]) -> Bytes {
    let entry = computations.last().map_or(0, |c| c.id);
    let parts: Vec<u8> = computations.iter().flat_map(|c| message(3, c.proto())).collect();
    let module = [message(1, "m"), parts, message(4, ""), int(6, entry), extra.to_vec()].concat();
    Bytes::from(message(1, module))
}

/// The facts of a module that must be usable.
pub(crate) fn facts(computations: &[Comp], extra: &[u8]) -> HloModuleFacts {
    HloModuleFacts::from_proto(&module(computations, extra), true).expect("a usable module")
}

/// A computation that applies a binary operation to two numbers.
pub(crate) fn binary(id: i64, opcode: &str) -> Comp {
    Comp::new(id, &[f32s(&[]), f32s(&[])]).add("r", opcode, &f32s(&[]), &["p0", "p1"], &[])
}
