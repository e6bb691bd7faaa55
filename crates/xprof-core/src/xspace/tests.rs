//! The reader against prost: whatever prost decodes, the reader says the same; whatever the bytes, it does not panic.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use xprof_proto::tensorflow::profiler as pb;
use xprof_proto::tensorflow::profiler::x_stat::Value as PbValue;

use super::{RawStat, StatValue, TraceBytes, XSpace};
use crate::Diag;
use crate::diag::ProblemKind;
use crate::fixture::build::{put_bytes, put_varint};

fn read(bytes: &[u8]) -> crate::Result<(XSpace, Diag)> {
    let mut diag = Diag::new();
    XSpace::read(TraceBytes::new(Bytes::copy_from_slice(bytes)), "test", &mut diag).map(|space| (space, diag))
}

/// Compares everything that the reader offers with prost's decoding of the same bytes.
fn check(bytes: &[u8]) {
    let Ok(expect) = pb::XSpace::decode(bytes) else {
        // The reader is more tolerant than prost; it must only not panic.
        let _ = read(bytes);
        return;
    };
    let (space, _) = read(bytes).unwrap();
    assert_eq!(space.hostnames, expect.hostnames);
    assert_eq!(space.errors, expect.errors);
    assert_eq!(space.warnings, expect.warnings);
    assert_eq!(space.planes.len(), expect.planes.len());
    for (plane, want) in space.planes.iter().zip(&expect.planes) {
        check_plane(plane, want);
    }
}

fn check_plane(plane: &super::Plane, want: &pb::XPlane) {
    assert_eq!((plane.id, &*plane.name), (want.id, &*want.name));
    assert_eq!(plane.event_metadata.len(), want.event_metadata.len());
    assert_eq!(plane.stat_metadata.len(), want.stat_metadata.len());
    for (id, want) in &want.event_metadata {
        let got = plane.metadata(plane.event_row(*id).unwrap());
        assert_eq!((&*got.name, &*got.display_name, got.id_field), (&*want.name, &*want.display_name, want.id));
        assert_eq!(got.child_ids.as_slice(), want.child_id);
        check_stats(plane, plane.metadata_stats(got), &want.stats);
    }
    for (id, want) in &want.stat_metadata {
        assert_eq!(plane.stat_metadata(*id).unwrap().name, want.name);
    }
    check_stats(plane, plane.stats(), &want.stats);
    assert_eq!(plane.lines.len(), want.lines.len());
    for (line, want) in plane.lines.iter().zip(&want.lines) {
        assert_eq!((line.id, line.display_id, line.timestamp_ns), (want.id, want.display_id, want.timestamp_ns));
        assert_eq!((&*line.name, &*line.display_name), (&*want.name, &*want.display_name));
        assert_eq!(line.events.len(), want.events.len());
        for (event, want) in line.events(plane).zip(&want.events) {
            let (offset, n) = match want.data {
                Some(pb::x_event::Data::OffsetPs(v)) => (v, 0),
                Some(pb::x_event::Data::NumOccurrences(n)) => (0, n),
                None => (0, 0),
            };
            assert_eq!((event.offset_ps(), event.num_occurrences()), (offset, n));
            assert_eq!(event.duration_ps(), want.duration_ps as u64);
            match plane.event_row(want.metadata_id) {
                Some(row) => assert_eq!(event.metadata_row(), row),
                None => assert_eq!(event.name(), ""),
            }
            check_stats(plane, event.stats(), &want.stats);
            for stat in event.stats() {
                if let Some(kind) = stat.kind {
                    let first = event.stats().find(|s| s.kind == Some(kind)).unwrap().value;
                    assert_eq!(format!("{:?}", event.stat(kind).unwrap()), format!("{first:?}"));
                }
            }
        }
    }
}

fn check_stats<'a>(plane: &super::Plane, got: impl Iterator<Item = super::Stat<'a>>, want: &[pb::XStat]) {
    let got: Vec<_> = got.collect();
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.name, plane.stat_metadata(want.metadata_id).map_or("", |m| &m.name));
        let same = match (&want.value, got.value) {
            (Some(PbValue::DoubleValue(a)), StatValue::Double(b)) => a.to_bits() == b.to_bits(),
            (Some(PbValue::Uint64Value(a)), StatValue::Uint(b)) => *a == b,
            (Some(PbValue::Int64Value(a)), StatValue::Int(b)) => *a == b,
            (Some(PbValue::StrValue(a)), StatValue::Str(b)) => a.as_bytes() == b,
            (Some(PbValue::BytesValue(a)), StatValue::Bytes(b)) => a == b,
            (Some(PbValue::RefValue(a)), StatValue::Ref(b)) => {
                plane.stat_metadata(*a as i64).map_or("", |m| &m.name) == b
            }
            (None | Some(PbValue::CompressedStrValue(_)), StatValue::None) => true,
            _ => false,
        };
        assert!(same, "{got:?} {want:?}");
    }
}

// === random wire format: any order, repeated scalars, unknown fields ===

fn message(fields: impl Strategy<Value = Vec<u8>> + 'static, max: usize) -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(prop_oneof![12 => fields.boxed(), 1 => unknown_field().boxed()], 0..max)
        .prop_map(|parts| parts.concat())
        .boxed()
}

fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u64>().prop_map(|v| varint(99, v)),
        any::<[u8; 4]>().prop_map(|v| [vec![0xa5, 0x06], v.to_vec()].concat()),
        any::<[u8; 8]>().prop_map(|v| [vec![0xa1, 0x06], v.to_vec()].concat()),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|v| bytes(101, &v)),
        // A group of field 102 with one varint inside.
        Just(vec![0xb3, 0x06, 0x08, 0x01, 0xb4, 0x06]),
    ]
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, number, value);
    out
}

fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, value);
    out
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..6, 1 => any::<u64>(), 1 => Just(9_610_000_000_000_000_001)]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["[a-z]{0,3}", Just("group_id".to_owned()), Just("tf_op".to_owned()), Just("ö".to_owned())]
        .prop_map(String::into_bytes)
}

/// The metadata id comes first and once, as every producer writes it; the value fields in any order and number.
fn stat() -> BoxedStrategy<Vec<u8>> {
    let value = prop_oneof![
        any::<f64>().prop_map(|v| [vec![0x11], v.to_le_bytes().to_vec()].concat()),
        any::<u64>().prop_map(|v| varint(3, v)),
        any::<u64>().prop_map(|v| varint(4, v)),
        text().prop_map(|v| bytes(5, &v)),
        text().prop_map(|v| bytes(6, &v)),
        id().prop_map(|v| varint(7, v)),
    ];
    (id(), message(value, 3)).prop_map(|(id, value)| [varint(1, id), value].concat()).boxed()
}

fn event() -> BoxedStrategy<Vec<u8>> {
    message(
        prop_oneof![
            id().prop_map(|v| varint(1, v)),
            any::<u64>().prop_map(|v| varint(2, v)),
            (0u64..100).prop_map(|v| varint(5, v)),
            any::<u64>().prop_map(|v| varint(3, v)),
            stat().prop_map(|v| bytes(4, &v)),
        ],
        8,
    )
}

fn line() -> BoxedStrategy<Vec<u8>> {
    message(
        prop_oneof![
            id().prop_map(|v| varint(1, v)),
            text().prop_map(|v| bytes(2, &v)),
            any::<u64>().prop_map(|v| varint(3, v)),
            id().prop_map(|v| varint(10, v)),
            text().prop_map(|v| bytes(11, &v)),
            event().prop_map(|v| bytes(4, &v)),
            event().prop_map(|v| bytes(4, &v)),
        ],
        10,
    )
}

fn entry(value: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    message(prop_oneof![id().prop_map(|v| varint(1, v)), value.prop_map(|v| bytes(2, &v))], 4)
}

fn plane() -> BoxedStrategy<Vec<u8>> {
    let event_metadata = message(
        prop_oneof![
            id().prop_map(|v| varint(1, v)),
            text().prop_map(|v| bytes(2, &v)),
            text().prop_map(|v| bytes(4, &v)),
            stat().prop_map(|v| bytes(5, &v)),
            id().prop_map(|v| varint(6, v)),
            prop::collection::vec(0u8..128, 0..4).prop_map(|v| bytes(6, &v)),
        ],
        6,
    );
    let stat_metadata = message(prop_oneof![id().prop_map(|v| varint(1, v)), text().prop_map(|v| bytes(2, &v))], 3);
    message(
        prop_oneof![
            id().prop_map(|v| varint(1, v)),
            text().prop_map(|v| bytes(2, &v)),
            line().prop_map(|v| bytes(3, &v)),
            entry(event_metadata).prop_map(|v| bytes(4, &v)),
            entry(stat_metadata).prop_map(|v| bytes(5, &v)),
            stat().prop_map(|v| bytes(6, &v)),
        ],
        10,
    )
}

fn space() -> BoxedStrategy<Vec<u8>> {
    message(
        prop_oneof![
            4 => plane().prop_map(|v| bytes(1, &v)),
            1 => text().prop_map(|v| bytes(2, &v)),
            1 => text().prop_map(|v| bytes(3, &v)),
            1 => text().prop_map(|v| bytes(4, &v)),
        ],
        4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_prost(bytes in space()) {
        check(&bytes);
    }

    #[test]
    fn survives_damage(mut bytes in space(), cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        if !bytes.is_empty() {
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok((space, _)) = read(&bytes) {
            // Walking everything must not panic either.
            for plane in &space.planes {
                for line in &plane.lines {
                    line.events(plane).for_each(|e| e.stats().for_each(drop));
                }
            }
        }
    }

    #[test]
    fn survives_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = RawStat::decode(&bytes);
    }
}

#[test]
fn an_empty_file_is_a_trace_without_planes() {
    let (space, diag) = read(&[]).unwrap();
    assert_eq!((space.planes.len(), space.n_events(), diag.problems().count()), (0, 0, 0));
}

#[test]
fn names_the_file_and_the_place_of_damage() {
    let error = read(&[0x0a, 0x7f, 0x01]).unwrap_err();
    assert_eq!(error.to_string(), "test is not a readable trace: at byte 2: a field claims more bytes than there are");
}

#[test]
fn a_flood_of_empty_planes_is_refused() {
    let flood = [0x0a, 0x00].repeat((1 << 16) + 1);
    assert_eq!(read(&flood).unwrap_err().code(), "too_large");
}

#[test]
fn a_flood_of_anything_is_refused_before_memory_is_used_for_it() {
    // Two bytes each; a plane's field is its number in the message.
    for (number, what) in [(3, "lines"), (4, "names of events"), (5, "names of stats")] {
        let flood = bytes(number, b"").repeat(2_000_000);
        let error = read(&bytes(1, &flood)).unwrap_err().to_string();
        assert!(error.contains("the memory for ") && error.contains(what), "{error}");
    }
    // Many planes share the room, and what is within it is read.
    let plane = bytes(3, b"").repeat(10_000);
    assert_eq!(read(&bytes(1, &plane)).unwrap().0.planes[0].lines.len(), 10_000);
    assert!(read(&bytes(1, &plane).repeat(100)).is_err());
}

#[test]
fn bad_names_and_dangling_ids_are_counted() {
    let mut event = varint(1, 77);
    event.extend(varint(2, 5));
    let mut plane = bytes(2, b"/host:\xff");
    plane.extend(bytes(3, &bytes(4, &event)));
    // A damaged event between two good ones is left out.
    plane.extend(bytes(3, &[bytes(4, &event), bytes(4, &[0x08]), bytes(4, &event)].concat()));
    let (space, diag) = read(&bytes(1, &plane)).unwrap();
    assert_eq!(space.planes[0].name, "/host:\u{fffd}");
    assert_eq!(space.planes[0].lines[1].events.len(), 2);
    let counts: Vec<_> = diag.problems().map(|p| (p.kind, p.count)).collect();
    assert_eq!(
        counts,
        [(ProblemKind::InvalidUtf8, 1), (ProblemKind::DanglingMetadata, 3), (ProblemKind::MalformedEntry, 1)]
    );
}
