//! The JSON of protocol buffers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ROOT;
use super::reader::{Datum, damaged, double_text, fields, float_text};
use super::schema::{Message, Schema};
use crate::Result;
use crate::answer::json::{write_proto_string, write_string};

/// Writes a whole proto.
pub(in crate::tools::graph_viewer) fn write(proto: &[u8], out: &mut Vec<u8>) -> Result<()> {
    message(proto, Schema::get().message(ROOT).ok_or_else(damaged)?, 0, out)
}

/// The recursion is bounded by the depth to which fields are read.
fn message(data: &[u8], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    let mut first = true;
    for (field, values) in fields(data, definition, depth)? {
        comma(&mut first, out);
        write_string(out, &field.json_name);
        out.push(b':');
        let map = values.first().and_then(|value| match value {
            Datum::Message(_, at) => Some(Schema::get().at(*at)).filter(|entry| entry.is_map_entry),
            _ => None,
        });
        if let Some(entry) = map {
            self::map(&values, entry, depth, out)?;
        } else if field.is_repeated {
            out.push(b'[');
            let mut first = true;
            for value in &values {
                comma(&mut first, out);
                self::value(value, depth, out)?;
            }
            out.push(b']');
        } else if let Some(value) = values.first() {
            self::value(value, depth, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn comma(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
}

/// An object with the entries of a map; keys are texts in JSON.
fn map(entries: &[Datum<'_>], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    let mut sorted = std::collections::BTreeMap::new();
    for entry in entries {
        let Datum::Message(part, _) = entry else { continue };
        let (mut key, mut text) = (String::new(), Vec::new());
        for (field, values) in fields(part, definition, depth + 1)? {
            match (field.number, values.last()) {
                (1, Some(Datum::Int(n) | Datum::Short(n))) => key = n.to_string(),
                (1, Some(Datum::Uint(n))) => key = n.to_string(),
                (1, Some(Datum::Text(name))) => key = String::from_utf8_lossy(name).into_owned(),
                (2, Some(value)) => self::value(value, depth + 1, &mut text)?,
                _ => {}
            }
        }
        sorted.insert(key, text);
    }
    out.push(b'{');
    let mut first = true;
    for (key, text) in sorted {
        comma(&mut first, out);
        write_proto_string(out, &key);
        out.push(b':');
        out.extend_from_slice(&text);
    }
    out.push(b'}');
    Ok(())
}

fn value(value: &Datum<'_>, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    match value {
        // Numbers of 64 bits are texts, as readers of JSON have only doubles.
        Datum::Int(v) => write_string(out, &v.to_string()),
        Datum::Uint(v) => write_string(out, &v.to_string()),
        Datum::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Datum::Float(v) => number(f64::from(*v), &float_text(*v), out),
        Datum::Double(v) => number(*v, &double_text(*v), out),
        Datum::Enum(Some(name), _) => write_string(out, name),
        Datum::Short(v) | Datum::Enum(None, v) => out.extend_from_slice(v.to_string().as_bytes()),
        Datum::Text(text) => write_proto_string(out, &String::from_utf8_lossy(text)),
        Datum::Bytes(bytes) => write_string(out, &STANDARD.encode(bytes)),
        Datum::Message(part, at) => message(part, Schema::get().at(*at), depth + 1, out)?,
    }
    Ok(())
}

fn number(value: f64, text: &str, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use xprof_proto::xla::*;

    /// The JSON of a module in an `HloProto`.
    fn check(module: HloModuleProto, expect: &str) {
        check_bytes(&HloProto { hlo_module: Some(module), ..Default::default() }.encode_to_vec(), expect);
    }

    fn check_bytes(proto: &[u8], expect: &str) {
        let mut out = Vec::new();
        super::write(proto, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    fn instruction(id: i64) -> HloInstructionProto {
        HloInstructionProto { id, ..Default::default() }
    }

    fn with(instruction: HloInstructionProto) -> HloModuleProto {
        let computation = HloComputationProto { instructions: vec![instruction], ..Default::default() };
        HloModuleProto { computations: vec![computation], ..Default::default() }
    }

    fn check_instruction(instruction: HloInstructionProto, expect: &str) {
        check(with(instruction), &format!(r#"{{"hloModule":{{"computations":[{{"instructions":[{expect}]}}]}}}}"#));
    }

    fn check_literal(literal: LiteralProto, expect: &str) {
        let constant = HloInstructionProto { literal: Some(literal), ..Default::default() };
        check_instruction(constant, &format!(r#"{{"literal":{expect}}}"#));
    }

    #[test]
    fn writes_computations_and_who_calls_them() {
        let body = HloComputationProto { name: "body".into(), id: 7, root_id: 1, ..Default::default() };
        let call = HloInstructionProto {
            opcode: "while".into(),
            called_computation_ids: vec![7, 1 << 53 | 1],
            ..instruction(-1)
        };
        let entry = HloComputationProto {
            name: "e".into(),
            instructions: vec![instruction(i64::MIN), call],
            ..Default::default()
        };
        let module =
            HloModuleProto { computations: vec![body, entry], entry_computation_id: i64::MAX, ..Default::default() };
        let expect = [
            r#"{"hloModule":{"computations":[{"name":"body","id":"7","rootId":"1"},{"name":"e","instructions":["#,
            r#"{"id":"-9223372036854775808"},{"opcode":"while","id":"-1","calledComputationIds":["7","9007199254740993"]}]}],"#,
            r#""entryComputationId":"9223372036854775807"}}"#,
        ];
        check(module, &expect.concat());
    }

    #[test]
    fn writes_literals() {
        check_literal(LiteralProto { preds: vec![true, false], ..Default::default() }, r#"{"preds":[true,false]}"#);
        // 32 bits are a number, 64 are a text, bytes are base64 with its padding.
        let whole = LiteralProto {
            u8s: vec![0xff, 0xfb].into(),
            s32s: vec![-1, i32::MIN],
            s64s: vec![-1],
            u32s: vec![u32::MAX],
            u64s: vec![u64::MAX],
            ..Default::default()
        };
        let expect = r#"{"u8s":"//s=","s32s":[-1,-2147483648],"s64s":["-1"],"u32s":[4294967295],"u64s":["18446744073709551615"]}"#;
        check_literal(whole, expect);
        let floats = LiteralProto {
            f32s: vec![1.5, 0.1, f32::NAN, f32::INFINITY, -0.0],
            f64s: vec![0.1, f64::NEG_INFINITY, 1e300],
            ..Default::default()
        };
        check_literal(floats, r#"{"f32s":[1.5,0.1,"NaN","Infinity",-0],"f64s":[0.1,"-Infinity",1e+300]}"#);
        let inner = LiteralProto { bf16s: b"\0\x01\x02".as_slice().into(), ..Default::default() };
        check_literal(
            LiteralProto { tuple_literals: vec![inner, LiteralProto::default()], ..Default::default() },
            r#"{"tupleLiterals":[{"bf16s":"AAEC"},{}]}"#,
        );
    }

    #[test]
    fn writes_enums_by_name() {
        let shape = |element_type| ShapeProto {
            element_type,
            dimensions: vec![4],
            is_dynamic_dimension: vec![true],
            ..Default::default()
        };
        let typed = |element| HloInstructionProto { shape: Some(shape(element)), ..Default::default() };
        let of = |element: &str| {
            format!(r#"{{"shape":{{"elementType":{element},"dimensions":["4"],"isDynamicDimension":[true]}}}}"#)
        };
        check_instruction(typed(PrimitiveType::Bf16 as i32), &of(r#""BF16""#));
        check_instruction(typed(9999), &of("9999"));
    }

    #[test]
    fn writes_maps_as_objects() {
        let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let map = [text("b", ""), text("a\"", "<x>\n")].into_iter().collect();
        let attributes = FrontendAttributes { map };
        check_instruction(
            HloInstructionProto {
                frontend_attributes: Some(attributes),
                backend_config: b"{}".as_slice().into(),
                ..Default::default()
            },
            r#"{"backendConfig":"e30=","frontendAttributes":{"map":{"a\"":"\u003cx\u003e\n","b":""}}}"#,
        );
        let ids = |ids: &[i64]| hlo_schedule_proto::InstructionSequence { instruction_ids: ids.to_vec() };
        let schedule = HloScheduleProto { sequences: [(-2, ids(&[3, 1])), (10, ids(&[]))].into_iter().collect() };
        check(
            HloModuleProto { schedule: Some(schedule), ..Default::default() },
            r#"{"hloModule":{"schedule":{"sequences":{"-2":{"instructionIds":["3","1"]},"10":{}}}}}"#,
        );
    }

    #[test]
    fn refuses_what_is_damaged_or_nested_too_deeply() {
        let write = |proto: &[u8]| super::write(proto, &mut Vec::new());
        assert!(write(&[10, 5, 10]).is_err());
        let nested = |n: usize| {
            let shape = (1..n)
                .fold(ShapeProto::default(), |inner, _| ShapeProto { tuple_shapes: vec![inner], ..Default::default() });
            let module = with(HloInstructionProto { shape: Some(shape), ..Default::default() });
            HloProto { hlo_module: Some(module), ..Default::default() }.encode_to_vec()
        };
        assert!(write(&nested(90)).is_ok() && write(&nested(110)).is_err());
        // What nobody knows is left out.
        check_bytes(&[0xa0, 6, 1], "{}");
    }
}
