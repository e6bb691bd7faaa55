//! Names and categories of events, each once.
//!
//! Takes events, gives small numbers for what they are called; the texts go to the header of the answer.
//! It must not look at more of an event than its name and its category.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::answer::json::JsonWriter;
use crate::tools::trace_viewer::facts;
use crate::xspace::{Event, StatKind, StatValue};

/// Stands for no category.
pub const NO_CATEGORY: u32 = u32::MAX;

/// Stands for the category of an op of which the trace tells none: its name may tell it.
const UNTOLD: &str = "op";

/// Names by number, in the order of their first use.
#[derive(Default)]
pub struct Names<'a> {
    /// Name and category.
    all: Vec<(Cow<'a, str>, u32)>,
    categories: Vec<Cow<'a, str>>,
    by_name: FxHashMap<(Cow<'a, str>, u32), u32>,
    by_category: FxHashMap<Cow<'a, str>, u32>,
    /// By address of a table of metadata and row in it, where names do not differ from event to event.
    /// (Categories do not: events of a row are executions of one op.)
    by_row: FxHashMap<(usize, u32), u32>,
}

impl<'a> Names<'a> {
    /// The number of an event's name.
    #[inline]
    pub fn of(&mut self, event: &Event<'a>) -> u32 {
        if event.line.stat_kinds.contains(StatKind::StepName) {
            return self.add(event);
        }
        let key = (std::ptr::from_ref(event.plane) as usize, event.metadata_row());
        if let Some(&known) = self.by_row.get(&key) {
            return known;
        }
        let number = self.add(event);
        self.by_row.insert(key, number);
        number
    }

    fn add(&mut self, event: &Event<'a>) -> u32 {
        let category = category(event).map_or(NO_CATEGORY, |text| {
            let next = self.categories.len() as u32;
            let number = *self.by_category.entry(text.clone()).or_insert(next);
            if number == next {
                self.categories.push(text);
            }
            number
        });
        let name = facts::visible_name(event);
        let next = self.all.len() as u32;
        let number = *self.by_name.entry((name.clone(), category)).or_insert(next);
        if number == next {
            self.all.push((name, category));
        }
        number
    }

    /// Writes the texts into a header.
    pub fn write(&self, json: &mut JsonWriter<'_>) {
        json.key("names").begin_array();
        self.all.iter().for_each(|(name, _)| {
            json.string(name);
        });
        json.end_array().key("categories").begin_array();
        self.categories.iter().for_each(|category| {
            json.string(category);
        });
        json.end_array();
    }

    /// The category of each name.
    pub fn categories(&self) -> impl Iterator<Item = u32> + '_ {
        self.all.iter().map(|&(_, category)| category)
    }
}

/// What kind of work an event is, if the trace says so; of an op of which it does not, [`UNTOLD`].
pub fn category<'a>(event: &Event<'a>) -> Option<Cow<'a, str>> {
    let told = event.stat_or_metadata_stat(StatKind::HloCategory).map(StatValue::text).filter(|text| !text.is_empty());
    told.or_else(|| event.stat(StatKind::HloOp).map(|_| Cow::Borrowed(UNTOLD)))
}
