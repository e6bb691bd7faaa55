//! The stack frames that a module's instructions use, numbered anew.
//!
//! Takes a module; gives tables without unused frames, in the order of first use. Frames of the proto are looked up, never
//! changed.

use rustc_hash::FxHashMap;

use super::frames::FileLocation;
use super::metadata::Span;
use super::module::HloModule;

/// Frames in use. Ids are 1-based, 0 means none.
#[derive(Debug, Default)]
pub(crate) struct FrameNumbers {
    pub(crate) files: Vec<Span>,
    pub(crate) functions: Vec<Span>,
    pub(crate) locations: Vec<FileLocation>,
    /// Location and parent of each frame.
    pub(crate) frames: Vec<(i64, i64)>,
    /// New ids by those of the proto.
    ids: FxHashMap<i64, i64>,
}

/// Ids of what has been numbered already.
#[derive(Default)]
struct Known<'m> {
    files: FxHashMap<&'m [u8], i64>,
    functions: FxHashMap<&'m [u8], i64>,
    locations: FxHashMap<FileLocation, i64>,
    frames: FxHashMap<(i64, i64), i64>,
}

impl FrameNumbers {
    /// Numbers the frames in the order in which instructions of the proto name them, callers before callees.
    pub(crate) fn of(module: &HloModule) -> Self {
        let mut numbers = Self::default();
        let mut known = Known::default();
        for instruction in module.computations.iter().flat_map(|c| &c.instructions) {
            let id = i64::from(module.metadata(instruction).stack_frame_id);
            if id != 0 && !numbers.ids.contains_key(&id) {
                let number = numbers.add(module, &mut known, id);
                numbers.ids.insert(id, number);
            }
        }
        numbers
    }

    /// Whether no instruction has a frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The new id of a frame, 0 if there is none or its chain of callers is damaged.
    pub(crate) fn get(&self, id: i64) -> i64 {
        self.ids.get(&id).copied().unwrap_or(0)
    }

    fn add<'m>(&mut self, module: &'m HloModule, known: &mut Known<'m>, id: i64) -> i64 {
        let mut parent = 0;
        for frame in module.frames.chain(id).into_iter().rev() {
            let (file, function, place) = frame;
            let file_name_id = intern(&mut known.files, &mut self.files, module.bytes(file), file);
            let function_name_id = intern(&mut known.functions, &mut self.functions, module.bytes(function), function);
            let location = FileLocation { file_name_id, function_name_id, ..place };
            let location_id = intern(&mut known.locations, &mut self.locations, location, location);
            let frame = (location_id, parent);
            parent = intern(&mut known.frames, &mut self.frames, frame, frame);
        }
        parent
    }
}

/// The id of a value, a fresh one if it is not known yet.
fn intern<K: Eq + std::hash::Hash, V>(known: &mut FxHashMap<K, i64>, list: &mut Vec<V>, key: K, value: V) -> i64 {
    *known.entry(key).or_insert_with(|| {
        list.push(value);
        list.len() as i64
    })
}
