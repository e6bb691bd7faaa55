//! Every opcode and attribute as text, against the lines that the original prints: `opcodes.txt`.

use super::{PrintOptions, instruction_line};
use crate::hlo::shape::PrimitiveType;
use crate::hlo::testing::{Comp, array, binary, f32s, facts, int, ints, message, tuple};

/// Reads the cases' language.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn eat(&mut self, text: &str) -> bool {
        self.0 = self.0.trim_start();
        self.0.strip_prefix(text).map(|rest| self.0 = rest).is_some()
    }

    /// Everything up to one of the characters.
    fn until(&mut self, ends: &[char]) -> &'a str {
        self.0 = self.0.trim_start();
        let (part, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        part
    }

    fn shape(&mut self) -> Vec<u8> {
        if self.eat("(") {
            let mut parts = Vec::new();
            while !self.eat(")") {
                parts.push(self.shape());
                self.eat(",");
            }
            return tuple(&parts);
        }
        let name = self.until(&['[']);
        assert!(self.eat("["), "{}", self.0);
        let dims = self.until(&[']']);
        assert!(self.eat("]"));
        let number = PrimitiveType::ALL.iter().find(|(_, ty)| ty.name() == name).expect("a type").0;
        if name == "token" {
            return int(2, number as i64);
        }
        let list: Vec<&str> = dims.split(',').filter(|dim| !dim.is_empty()).collect();
        let sizes: Vec<i64> = list.iter().map(|dim| dim.trim_start_matches("<=").parse().unwrap()).collect();
        let mut shape = array(number as i64, &sizes);
        if dims.contains("<=") {
            shape.extend(list.iter().flat_map(|dim| int(6, i64::from(dim.starts_with("<=")))));
        }
        shape
    }

    fn field(&mut self) -> Vec<u8> {
        let number: u32 = self.until(&[':']).parse().unwrap();
        assert!(self.eat(":"));
        if self.eat("{") {
            let mut inner = Vec::new();
            while !self.eat("}") {
                inner.extend(self.field());
            }
            return message(number, inner);
        }
        if self.eat("<") {
            let shape = self.shape();
            assert!(self.eat(">"));
            return message(number, shape);
        }
        if self.eat("[") {
            let list: Vec<i64> = self.until(&[']']).split(',').filter_map(|n| n.parse().ok()).collect();
            assert!(self.eat("]"));
            return ints(number, &list);
        }
        if self.0.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<String>();
            let text = values.next().unwrap().unwrap();
            let end = values.byte_offset();
            self.0 = &self.0[end..];
            return message(number, text);
        }
        let value = self.until(&[' ', '}']);
        let tag = |wire: u64| vec![(u64::from(number) << 3 | wire) as u8 | 0x80, (number >> 4) as u8];
        let tag = |wire: u64| if number < 16 { vec![(u64::from(number) << 3 | wire) as u8] } else { tag(wire) };
        match value.strip_suffix('d') {
            Some(double) => [tag(1), double.parse::<f64>().unwrap().to_le_bytes().to_vec()].concat(),
            None => match value.strip_suffix('f') {
                Some(float) => [tag(5), float.parse::<f32>().unwrap().to_le_bytes().to_vec()].concat(),
                None => int(number, value.parse().unwrap()),
            },
        }
    }
}

/// The computations that cases call.
fn callee(kind: &str, id: i64) -> Comp {
    let (scalar, matrix, row) = (f32s(&[]), f32s(&[4, 8]), f32s(&[8]));
    let compare = |direction: &str| {
        Comp::new(id, &[scalar.clone(), scalar.clone()]).add(
            "r",
            "compare",
            &array(1, &[]),
            &["p0", "p1"],
            &message(63, direction),
        )
    };
    match kind {
        "add" => binary(id, "add"),
        "lt" => compare("LT"),
        "ge" => compare("GE"),
        "cond" => {
            let yes = message(8, [message(1, array(1, &[])), ints(2, &[1])].concat());
            Comp::new(id, &[matrix]).add("r", "constant", &array(1, &[]), &[], &yes)
        }
        "scan" => Comp::new(id, &[row.clone(), row.clone()]).add("r", "add", &row, &["p0", "p1"], &[]).add(
            "t",
            "tuple",
            &tuple(&[row.clone(), row.clone()]),
            &["r", "r"],
            &[],
        ),
        _ => Comp::new(id, std::slice::from_ref(&matrix)).add("r", "negate", &matrix, &["p0"], &[]).add(
            "q",
            "negate",
            &matrix,
            &["r"],
            &[],
        ),
    }
}

fn check(case: &str, expect: &str) {
    let mut reader = Reader(case);
    let opcode = reader.until(&[' ']);
    let shape = reader.shape();
    assert!(reader.eat("("), "{case}");
    let operands: Vec<&str> = reader.until(&[')']).split(", ").filter(|operand| !operand.is_empty()).collect();
    assert!(reader.eat(")"));
    let mut extra = Vec::new();
    while !reader.eat("|") {
        extra.extend(reader.field());
    }
    let mut parameters = Vec::new();
    while !reader.0.trim().is_empty() && !reader.eat("calls") {
        parameters.push(reader.shape());
    }
    let mut comps: Vec<Comp> = reader.0.split_whitespace().zip(1..).map(|(kind, id)| callee(kind, id)).collect();
    extra.extend(ints(38, &(1..=comps.len() as i64).collect::<Vec<_>>()));
    comps.push(Comp::new(0, &parameters).add("x", opcode, &shape, &operands, &extra));
    let facts = facts(&comps, &[]);
    let at = facts.find("x").expect("x").position();
    assert_eq!(instruction_line(facts.module(), at, PrintOptions::long(true), 10_000), expect, "{case}");
}

#[test]
fn prints_every_opcode_as_the_original_does() {
    let cases: Vec<&str> =
        include_str!("opcodes.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for case in cases.chunks(2) {
        check(case[0], case[1]);
    }
    assert!(cases.len() > 250, "{}", cases.len());
}
