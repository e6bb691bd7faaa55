//! The tables of metadata of one plane.
//!
//! Takes the entries that were found, gives rows and an index by id. An entry that is damaged is counted and left out.
//! It must not read events.

use bytes::Bytes;
use smallvec::SmallVec;

use super::id_table::IdTable;
use super::read::{Damage, Scan, scan, span, string};
use super::{EventMetadata, Plane, StatKind, StatMetadata};
use crate::Diag;
use crate::diag::ProblemKind;
use crate::wire::Value;

/// Key and value of a map entry. A repeated value is merged by its reader, a repeated key overrides.
fn map_entry<'a>(data: &[u8], entry: &'a [u8]) -> Scan<(i64, SmallVec<[&'a [u8]; 1]>)> {
    let (mut key, mut values) = (0, SmallVec::new());
    scan(data, entry, |number, value| match (number, value) {
        (1, Value::Varint(v)) => key = v as i64,
        (2, Value::Bytes(v)) => values.push(v),
        _ => {}
    })?;
    Ok((key, values))
}

fn damaged_entry(plane: &str, what: &str, damage: &Damage, diag: &mut Diag) {
    diag.count(ProblemKind::MalformedEntry, || {
        format!("{what} of plane {plane} at byte {}: {}", damage.offset, damage.error)
    });
}

pub(super) fn read_stat_metadata(plane: &mut Plane, data: &Bytes, entries: &[&[u8]], diag: &mut Diag) {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let decoded = map_entry(data, entry).and_then(|(id, values)| {
            let mut name: &[u8] = &[];
            for value in values {
                scan(data, value, |number, value| {
                    if let (2, Value::Bytes(v)) = (number, value) {
                        name = v;
                    }
                })?;
            }
            Ok((id, name))
        });
        match decoded {
            Ok((id, name)) => {
                let name = string(data, name, diag);
                let kind = StatKind::from_name(&name);
                rows.push(StatMetadata { id, name, kind });
            }
            Err(damage) => damaged_entry(&plane.name, "a stat metadata", &damage, diag),
        }
    }
    (plane.stat_metadata, plane.stat_rows) = unique(rows, |m| m.id, &plane.name, diag);
}

pub(super) fn read_event_metadata(plane: &mut Plane, data: &Bytes, entries: &[&[u8]], diag: &mut Diag) {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        match map_entry(data, entry).and_then(|(id, values)| read_event_metadata_entry(data, id, &values, diag)) {
            Ok(metadata) => rows.push(metadata),
            Err(damage) => damaged_entry(&plane.name, "an event metadata", &damage, diag),
        }
    }
    (plane.event_metadata, plane.event_rows) = unique(rows, |m| m.id, &plane.name, diag);
}

fn read_event_metadata_entry(data: &Bytes, id: i64, values: &[&[u8]], diag: &mut Diag) -> Scan<EventMetadata> {
    let mut metadata = EventMetadata { id, ..EventMetadata::default() };
    let (mut name, mut display_name): (&[u8], &[u8]) = (&[], &[]);
    for body in values {
        metadata.bodies.push(span(data, body));
        scan(data, body, |number, value| match (number, value) {
            (1, Value::Varint(v)) => metadata.id_field = v as i64,
            (2, Value::Bytes(v)) => name = v,
            (4, Value::Bytes(v)) => display_name = v,
            (6, Value::Varint(v)) => metadata.child_ids.push(v as i64),
            (6, Value::Bytes(v)) => metadata.child_ids.extend(crate::wire::packed_varints(v).map(|v| v as i64)),
            _ => {}
        })?;
    }
    metadata.name = string(data, name, diag);
    metadata.display_name = string(data, display_name, diag);
    Ok(metadata)
}

/// The table without entries whose key comes again later, and its index.
fn unique<T>(rows: Vec<T>, id: impl Fn(&T) -> i64, plane: &str, diag: &mut Diag) -> (Vec<T>, IdTable) {
    let max_id = rows.iter().map(&id).max().unwrap_or(0);
    let mut index = IdTable::with_rows(rows.len(), max_id);
    let mut kept: Vec<T> = Vec::with_capacity(rows.len());
    for row in rows {
        let key = id(&row);
        if let Some(before) = index.get(key) {
            diag.count(ProblemKind::DuplicateKey, || format!("metadata {key} of plane {plane}"));
            if let Some(slot) = kept.get_mut(before as usize) {
                *slot = row;
            }
        } else {
            index.insert(key, kept.len() as u32);
            kept.push(row);
        }
    }
    (kept, index)
}
