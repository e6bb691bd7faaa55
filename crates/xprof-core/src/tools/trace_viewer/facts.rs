//! What the timeline says about an event: its name and its arguments.
//!
//! Takes events, gives borrowed names and values. Both timeline tools share these rules.
//! It must not know how anything is written.

use std::borrow::Cow;

use crate::xspace::{Event, Stat, StatKind, StatValue};

/// How many bytes of a long name are shown.
const MAX_LONG_NAME_BYTES: usize = 10_000;

/// What the name of a truncated long name ends with.
const TRUNCATED: &str = "...<truncated>";

/// Whether events of that metadata name are bookkeeping of the profiler, which is not shown.
pub fn is_internal_event(name: &str) -> bool {
    matches!(
        name,
        "MemoryAllocation"
            | "MemoryDeallocation"
            | "PrefetchProduce"
            | "PrefetchConsume"
            | "ParallelInterleaveProduce"
            | "ParallelInterleaveConsume"
            | "ParallelInterleaveInitializeInput"
            | "ParallelMapProduce"
            | "ParallelMapConsume"
            | "MapAndBatchProduce"
            | "MapAndBatchConsume"
            | "ParseExampleProduce"
            | "ParseExampleConsume"
    )
}

/// Whether a stat is never an argument.
fn is_internal_stat(stat: &Stat<'_>) -> bool {
    matches!(
        stat.kind,
        Some(
            StatKind::ProducerType
                | StatKind::ProducerId
                | StatKind::ConsumerType
                | StatKind::ConsumerId
                | StatKind::RootLevel
                | StatKind::Flops
                | StatKind::ProgramId
                | StatKind::SymbolId
        )
    )
}

/// The name under which an event is shown: that of its step, else its display name, else its name.
pub fn visible_name<'a>(event: &Event<'a>) -> Cow<'a, str> {
    step_name(event).unwrap_or(Cow::Borrowed(event.metadata().shown_name()))
}

/// The name that a step gives to an event, if any.
#[inline]
pub fn step_name<'a>(event: &Event<'a>) -> Option<Cow<'a, str>> {
    event.stat(StatKind::StepName).map(StatValue::text).filter(|name| !name.is_empty())
}

/// The name under which the plain tool shows an event. parity: there even an empty name of a step counts.
pub fn plain_name<'a>(event: &Event<'a>) -> Cow<'a, str> {
    let of_step = event.stat(StatKind::StepName).map(StatValue::text);
    of_step.unwrap_or(Cow::Borrowed(event.metadata().shown_name()))
}

/// The full name of an event that is shown under a display name.
pub fn long_name<'a>(event: &Event<'a>) -> Option<Cow<'a, str>> {
    let metadata = event.metadata();
    (!metadata.display_name.is_empty()).then(|| truncate(&metadata.name))
}

fn truncate(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_LONG_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    // The reference cuts between bytes; what that leaves of a character would not be UTF-8.
    let cut = name.floor_char_boundary(MAX_LONG_NAME_BYTES);
    Cow::Owned(format!("{}{TRUNCATED}", &name[..cut]))
}

/// The stats of an event that are shown, those of its metadata first. Duplicates stay.
pub fn shown_stats<'a>(event: &Event<'a>, with_bytes: bool) -> impl Iterator<Item = Stat<'a>> + 'a {
    let plane = event.plane;
    plane.metadata_stats(event.metadata()).chain(event.stats()).filter(move |stat| match stat.value {
        StatValue::None => false,
        StatValue::Bytes(_) => with_bytes && !is_internal_stat(stat),
        _ => !is_internal_stat(stat),
    })
}

/// Whether the timeline shows a stat in another way than as an argument.
pub fn is_consumed(stat: &Stat<'_>) -> bool {
    matches!(stat.kind, Some(StatKind::Flow | StatKind::GroupId | StatKind::IsAsync)) && stat.value.is_int()
}
