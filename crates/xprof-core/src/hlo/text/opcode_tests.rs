//! Every opcode and attribute as text, against the lines that the original prints: `opcodes.txt`.

use super::{PrintOptions, instruction_line};
use crate::hlo::Opcode;
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

fn check(case: &str, long: &str, short: &str) {
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
    check_line(&comps, "x", long, short);
}

/// What both sets of options print for an instruction of the last computation.
fn check_line(comps: &[Comp], name: &str, long: &str, short: &str) {
    let facts = facts(comps, &[]);
    let at = facts.find(name).expect(name).position();
    let print = |options| instruction_line(facts.module(), at, options, 10_000);
    assert_eq!(print(PrintOptions::long(true)), long);
    assert_eq!(print(PrintOptions::short(false)), short);
}

#[test]
fn prints_every_opcode_as_the_original_does() {
    let cases: Vec<&str> =
        include_str!("opcodes.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for case in cases.chunks(3) {
        check(case[0], case[1], case[2]);
    }
    let is_tried = |name: &str| cases.iter().step_by(3).any(|case| case.split(' ').next() == Some(name));
    let untried: Vec<_> = Opcode::ALL.iter().map(|(name, _)| *name).filter(|name| !is_tried(name)).collect();
    assert_eq!(untried, CHAINED, "opcodes without a case");
}

/// These use what another instruction began, see [`prints_what_is_begun_and_ended`].
const CHAINED: [&str; 4] = ["async-done", "async-update", "recv-done", "send-done"];

/// Adds the lines of a chain to its computation and checks them: name, opcode, shape, operand, further fields, long line.
fn check_chain(callees: Vec<Comp>, mut entry: Comp, chain: &[(&str, &str, &[u8], &str, Vec<u8>, &str)]) {
    for (name, opcode, shape, operand, extra, _) in chain {
        entry = entry.add(name, opcode, shape, &[operand], extra);
    }
    let comps: Vec<Comp> = callees.into_iter().chain([entry]).collect();
    for (name, .., long) in chain {
        check_line(&comps, name, long, &long.replace('%', ""));
    }
}

#[test]
fn prints_what_is_sent_and_received() {
    let (matrix, number, token) = (f32s(&[4, 8]), array(8, &[]), int(2, 17));
    let context = tuple(&[matrix.clone(), number, token.clone()]);
    let channel = |n| int(26, n);
    let sent = Comp::new(0, &[matrix.clone(), token.clone()]).add("s", "send", &context, &["p0", "p1"], &channel(3));
    check_chain(
        vec![],
        sent,
        &[
            (
                "sd",
                "send-done",
                &token,
                "s",
                [channel(3), int(47, 1)].concat(),
                "%sd = token[] send-done(%s), channel_id=3, is_host_transfer=true",
            ),
            ("r", "recv", &context, "sd", channel(4), "%r = (f32[4,8]{1,0}, u32[], token[]) recv(%sd), channel_id=4"),
            (
                "rd",
                "recv-done",
                &tuple(&[matrix.clone(), token.clone()]),
                "r",
                channel(4),
                "%rd = (f32[4,8]{1,0}, token[]) recv-done(%r), channel_id=4",
            ),
        ],
    );
}

#[test]
fn prints_what_is_begun_and_ended() {
    let (matrix, number, token) = (f32s(&[4, 8]), array(8, &[]), int(2, 17));
    let entry = || Comp::new(0, &[matrix.clone(), token.clone()]);
    let begun = tuple(&[tuple(std::slice::from_ref(&matrix)), matrix.clone(), number]);
    let calls = |n: i64| ints(38, &[n]);
    check_chain(
        vec![callee("neg", 1)],
        entry(),
        &[
            (
                "s",
                "async-start",
                &begun,
                "p0",
                calls(1),
                "%s = ((f32[4,8]{1,0}), f32[4,8]{1,0}, u32[]) async-start(%p0), calls=%comp1",
            ),
            (
                "u",
                "async-update",
                &begun,
                "s",
                calls(1),
                "%u = ((f32[4,8]{1,0}), f32[4,8]{1,0}, u32[]) async-update(%s)",
            ),
            ("d", "async-done", &matrix, "u", calls(1), "%d = f32[4,8]{1,0} async-done(%u)"),
        ],
    );
    // A computation that only wraps one instruction: its attributes are shown instead.
    let groups = message(87, message(1, ints(1, &[0, 1])));
    let attributes = message(68, message(1, [message(1, "in"), message(2, "1")].concat()));
    let wrapped = [groups, int(26, 5), calls(1), attributes].concat();
    let wrapper = Comp::new(2, std::slice::from_ref(&matrix)).add("r", "all-reduce", &matrix, &["p0"], &wrapped);
    check_chain(
        vec![binary(1, "add"), wrapper],
        entry(),
        &[
            (
                "s",
                "async-start",
                &begun,
                "p0",
                [calls(2), message(74, int(2, 0))].concat(),
                "%s = ((f32[4,8]{1,0}), f32[4,8]{1,0}, u32[]) all-reduce-start(%p0), channel_id=5, replica_groups={{0,1}}, \
                 to_apply=%comp1, frontend_attributes={in=\"1\"}, output_to_operand_aliasing={{}: (0, {})}",
            ),
            (
                "u",
                "async-update",
                &begun,
                "s",
                calls(2),
                "%u = ((f32[4,8]{1,0}), f32[4,8]{1,0}, u32[]) all-reduce-update(%s)",
            ),
            ("d", "async-done", &matrix, "u", calls(2), "%d = f32[4,8]{1,0} all-reduce-done(%u)"),
        ],
    );
}
