//! Flow arrows: which events are ends of a link between threads or devices.
//!
//! Takes an event's stats, gives one 64-bit flow value, computed when asked: only the timeline shows flows.
//! It must not look at other events: two ends belong together because they have the same id.

use super::mix::{mix_all, mix_text};
use super::{Prepared, context, planes};
use crate::xspace::{Event, Line, Plane, StatKind};

/// Direction, id and category of one end of a flow, as the `flow` stat encodes them:
///
/// ```text
/// 63      58 57                                2 1         0
/// | category | id                               | direction |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow(pub u64);

/// An event at which a flow ends.
const IN: u64 = 1;
/// An event at which a flow begins.
const OUT: u64 = 2;
/// Tells hashes of correlation ids from those of context ids.
const CORRELATION: u64 = u64::MAX;
const ID_MASK: u64 = (1 << 56) - 1;

impl Flow {
    fn new(direction: u64, id: u64, category: u64) -> Self {
        Self(direction | (id & ID_MASK) << 2 | category << 58)
    }

    /// 0 none, 1 in, 2 out, 3 both.
    pub fn direction(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// What both ends have in common; 56 bits.
    pub fn id(self) -> u64 {
        self.0 >> 2 & ID_MASK
    }

    /// The type of the context that links the ends; 6 bits.
    pub fn category(self) -> u8 {
        (self.0 >> 58) as u8
    }
}

/// Stats without which an event has no flow.
const KINDS: [StatKind; 4] = [StatKind::Flow, StatKind::CorrelationId, StatKind::ProducerId, StatKind::ConsumerId];

/// Computes the flows of the events of one plane.
#[derive(Debug, Clone, Copy)]
pub struct PlaneFlows {
    /// Tells equal ids of different hosts apart.
    host: u64,
    is_device: bool,
    /// A trace that came with groups also came with its flows.
    only_own: bool,
}

impl PlaneFlows {
    /// For the events of `plane`, which is one of `prepared`'s.
    pub fn new(prepared: &Prepared, plane: &Plane) -> Self {
        let host = prepared.space.hostnames.first().map_or("", |h| h);
        Self { host: mix_text(host), is_device: planes::is_device(&plane.name), only_own: prepared.already_grouped }
    }

    /// Whether events of that line may have flows; where not, none needs to be asked.
    pub fn any_on(&self, line: &Line) -> bool {
        line.stat_kinds.contains_any(&KINDS)
    }

    /// The flow of one event: of the file's own and those that its links make, the last one counts.
    pub fn of(&self, event: &Event<'_>) -> Option<Flow> {
        if !event.line.is_marked(event.idx) {
            return None;
        }
        // Derived events repeat the ids of what they were derived from, which is no link.
        let linked = if self.only_own || event.line.is_derived() { None } else { self.of_links(event) };
        linked.or_else(|| own(event))
    }

    /// `parity:` an event that is both consumer and producer keeps its incoming flow only.
    fn of_links(&self, event: &Event<'_>) -> Option<Flow> {
        // What preparation found goes before what the file says, and a consumer before anything else.
        let mut consumer = (None, None);
        for (kind, value) in event.added_stats() {
            match kind {
                StatKind::ConsumerType => consumer.0 = Some(value.int()),
                StatKind::ConsumerId => consumer.1 = Some(value.int_or_uint()),
                _ => {}
            }
        }
        if let (Some(context_type), Some(id)) = consumer {
            return Some(self.flow(IN, context_type, id));
        }
        let (mut producer, mut correlation) = ((None, None), None);
        event.each_stat(|kind, value| match kind {
            StatKind::ConsumerType => _ = consumer.0.get_or_insert(value.int()),
            StatKind::ConsumerId => _ = consumer.1.get_or_insert(value.int_or_uint()),
            StatKind::ProducerType => _ = producer.0.get_or_insert(value.int()),
            StatKind::ProducerId => _ = producer.1.get_or_insert(value.int_or_uint()),
            // `parity:` a correlation id that is not an unsigned number counts as 0.
            StatKind::CorrelationId => _ = correlation.get_or_insert(value.uint()),
            _ => {}
        });
        if let (Some(context_type), Some(id)) = consumer {
            return Some(self.flow(IN, context_type, id));
        }
        if let (Some(context_type), Some(id)) = producer {
            return Some(self.flow(OUT, context_type, id));
        }
        let id = correlation?;
        let direction = if self.is_device { IN } else { OUT };
        // Correlation ids are no context ids, so equal ones must not meet.
        let id = mix_all(&[CORRELATION, self.host, id]);
        Some(Flow::new(direction, id, context::GPU_LAUNCH as u64))
    }

    fn flow(&self, direction: u64, context_type: i64, id: u64) -> Flow {
        let category = if (0..=context::LAST).contains(&context_type) { context_type as u64 } else { 0 };
        Flow::new(direction, mix_all(&[self.host, category, id]), category)
    }
}

/// The last integer flow stat of the file.
fn own(event: &Event<'_>) -> Option<Flow> {
    if !event.line.stat_kinds.contains(StatKind::Flow) {
        return None;
    }
    let flows = event.stats().filter(|s| s.kind == Some(StatKind::Flow) && s.value.is_int());
    flows.last().map(|s| Flow(s.value.int_or_uint()))
}
