//! Sums of ops by step: the part of the walk over a TPU line that keeps steps apart.
//!
//! Takes events in the order of the line, gives sums per (group, key). Ops of one step follow each other, so each key
//! remembers the entry it used last; a hash is computed only where a key meets a step for the first time.

use rustc_hash::FxHashMap;
use xprof_proto::tensorflow::profiler::AllReduceInfo;

use super::ancestors::Ancestors;
use super::tpu_events::{EventFacts, RareFacts};
use super::tpu_facts::{NO_KEY, PlaneFacts};
use super::tpu_walk::{OpSums, RareSums};

const NONE: u32 = u32::MAX;

/// Sums of one op in one step.
#[derive(Debug, Clone, Copy)]
pub struct StepEntry {
    /// Index of the group, in order of first appearance.
    pub group: u32,
    /// Key of the op.
    pub key: u32,
    /// Sums.
    pub sums: OpSums,
    /// Place of the rare sums in [`StepOps::rare`], if the line has any.
    rare: u32,
}

/// Sums by group and key.
#[derive(Debug, Default)]
pub struct StepOps {
    /// Group ids by group index.
    pub group_ids: Vec<i64>,
    /// Σ self time × normalized time / time by group index; empty if no event says how its clock ran.
    normalized_self_ps: Vec<f64>,
    /// Sums in order of first appearance.
    pub entries: Vec<StepEntry>,
    /// Collectives with the index of their group.
    pub collectives: Vec<(u32, AllReduceInfo)>,
    rare: Vec<RareSums>,
    groups: FxHashMap<i64, u32>,
    /// Group index and entry that each key used last.
    recent: Vec<(u32, u32)>,
    index: FxHashMap<(u32, u32), u32>,
    last_group: Option<(i64, u32)>,
    open: Ancestors<OpenOp>,
}

/// An open event whose sums its children reduce.
#[derive(Debug, Clone, Copy)]
struct OpenOp {
    place: u32,
    group: u32,
    /// Time without events within.
    self_time_ps: u64,
    /// Time at nominal clock rate by time, 0 if the event does not say how its clock ran.
    rate: f64,
}

impl StepOps {
    /// Counts one event.
    pub fn event(&mut self, group_id: i64, event: &EventFacts, rare: &RareFacts, facts: &PlaneFacts<'_>) {
        let group = self.group(group_id);
        let (begin, end, time_ps) = (event.device.begin_ps, event.device.end_ps(), event.device.duration_ps);
        let normalized = &mut self.normalized_self_ps;
        if let Some(parent) = self.open.enter(begin, end, |op| add_normalized(normalized, &op.payload)) {
            parent.payload.self_time_ps = parent.payload.self_time_ps.wrapping_sub(time_ps);
            if let Some(entry) = self.entries.get_mut(parent.payload.place as usize) {
                entry.sums.self_time_ps = entry.sums.self_time_ps.wrapping_sub(time_ps);
            }
        }
        let mut open = OpenOp { place: NONE, group, self_time_ps: time_ps, rate: 0.0 };
        if event.key != NO_KEY {
            open.place = self.place(group, event.key, facts.n_keys);
            self.entries[open.place as usize].sums.count(event);
            if rare.any {
                self.rare_of(open.place).count(rare, time_ps);
                // No normalized time here unless the event says how its clock ran.
                open.rate = rare.rate(time_ps).unwrap_or(0.0);
            }
        }
        self.open.push(begin, end, open);
        if let Some(id) = rare.collective {
            self.collectives.push((group, collective(id, event, rare, facts)));
        }
    }

    /// Accounts for what is open at the end of the line.
    pub fn finish(&mut self) {
        let normalized = &mut self.normalized_self_ps;
        self.open.flush(|op| add_normalized(normalized, &op.payload));
    }

    /// Σ self time × normalized time / time of a group.
    pub fn normalized_self_ps(&self, group: usize) -> f64 {
        self.normalized_self_ps.get(group).copied().unwrap_or(0.0)
    }

    /// Whether an event would be within an earlier one.
    pub fn would_nest(&self, begin_ps: u64, end_ps: u64) -> bool {
        self.open.would_nest(begin_ps, end_ps)
    }

    /// The rare sums of an entry.
    pub fn rare(&self, entry: &StepEntry) -> RareSums {
        self.rare.get(entry.rare as usize).copied().unwrap_or_default()
    }

    /// Adds those of a later piece or line.
    pub fn add(&mut self, part: Self) {
        if part.group_ids.is_empty() {
            return;
        }
        let groups: Vec<u32> = part.group_ids.iter().map(|&id| self.group(id)).collect();
        for entry in &part.entries {
            let place = self.place(groups[entry.group as usize], entry.key, entry.key as usize + 1);
            self.entries[place as usize].sums.add(&entry.sums);
            if entry.rare != NONE {
                self.rare_of(place).add(&part.rare(entry));
            }
        }
        for (group, part_ps) in part.normalized_self_ps.iter().enumerate() {
            let op = OpenOp { place: NONE, group: groups[group], self_time_ps: 1, rate: *part_ps };
            add_normalized(&mut self.normalized_self_ps, &op);
        }
        self.collectives.extend(part.collectives.into_iter().map(|(group, info)| (groups[group as usize], info)));
    }

    #[inline]
    fn group(&mut self, group_id: i64) -> u32 {
        if let Some((id, group)) = self.last_group
            && id == group_id
        {
            return group;
        }
        let next = self.group_ids.len() as u32;
        let group = *self.groups.entry(group_id).or_insert(next);
        if group == next {
            self.group_ids.push(group_id);
        }
        self.last_group = Some((group_id, group));
        group
    }

    #[inline]
    fn place(&mut self, group: u32, key: u32, n_keys: usize) -> u32 {
        if self.recent.len() < n_keys {
            self.recent.resize(n_keys, (NONE, NONE));
        }
        let recent = &mut self.recent[key as usize];
        if recent.0 == group {
            return recent.1;
        }
        let next = self.entries.len() as u32;
        let place = *self.index.entry((group, key)).or_insert(next);
        if place == next {
            self.entries.push(StepEntry { group, key, sums: OpSums::default(), rare: NONE });
        }
        *recent = (group, place);
        place
    }

    fn rare_of(&mut self, place: u32) -> &mut RareSums {
        let entry = &mut self.entries[place as usize];
        if entry.rare == NONE {
            entry.rare = self.rare.len() as u32;
            self.rare.push(RareSums::default());
        }
        &mut self.rare[entry.rare as usize]
    }
}

fn add_normalized(sums: &mut Vec<f64>, op: &OpenOp) {
    if op.rate != 0.0 {
        let group = op.group as usize;
        if sums.len() <= group {
            sums.resize(group + 1, 0.0);
        }
        sums[group] += op.self_time_ps as f64 * op.rate;
    }
}

/// Begin and duration are taken from the device's clock each on its own.
fn collective(id: u64, event: &EventFacts, rare: &RareFacts, facts: &PlaneFacts<'_>) -> AllReduceInfo {
    let start_time_ps = rare.device_offset_ps.unwrap_or(event.host_begin_ps);
    AllReduceInfo {
        id,
        all_reduce_id: rare.all_reduce_id.unwrap_or(0),
        start_time_ps,
        end_time_ps: rare.device_duration_ps.map_or(event.host_end_ps, |d| start_time_ps.wrapping_add(d)),
        byte_size: facts.rows[facts.index(event.row)].bytes_accessed,
        ..AllReduceInfo::default()
    }
}
