//! The events of a line as columns, each as narrow as its values allow: 19 bytes an event.
//!
//! Takes events one by one or as chunks that are filled in parallel, gives them by place.
//! A column becomes wider when a value needs it; nobody outside sees how wide it is.

use super::plane::NO_METADATA;

/// Metadata row, begin, duration and place of each event.
#[derive(Debug)]
pub struct EventColumns {
    pub(super) rows: Rows,
    /// Absolute begin: line timestamp plus offset, with 64-bit wrap-around as in the reference.
    pub begin_ps: Vec<u64>,
    pub(super) durations: Durations,
    pub(super) bodies: Bodies,
}

impl EventColumns {
    /// No events.
    pub const fn new() -> Self {
        Self {
            rows: Rows::Narrow(Vec::new()),
            begin_ps: Vec::new(),
            durations: Durations { low: Vec::new(), high: Vec::new(), long: Vec::new() },
            bodies: Bodies::Narrow { base: 0, at: Vec::new() },
        }
    }

    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.begin_ps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.begin_ps.is_empty()
    }

    /// Row of [`super::Plane::event_metadata`], or [`NO_METADATA`].
    #[inline]
    pub fn row(&self, idx: usize) -> u32 {
        self.rows.get(idx)
    }

    /// The rows of all events in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        (0..self.len()).map(|idx| self.row(idx))
    }

    /// Duration.
    #[inline]
    pub fn duration_ps(&self, idx: usize) -> u64 {
        self.durations.get(idx)
    }

    /// Begin plus duration, with 64-bit wrap-around.
    #[inline]
    pub fn end_ps(&self, idx: usize) -> u64 {
        self.begin_ps[idx].wrapping_add(self.duration_ps(idx))
    }

    /// Appends an event that is not in the file.
    pub fn push(&mut self, row: u32, begin_ps: u64, duration_ps: u64) {
        self.bodies.push_none();
        self.rows.push(row);
        self.begin_ps.push(begin_ps);
        self.durations.push(duration_ps);
    }

    /// Gives an event another duration.
    pub fn set_duration_ps(&mut self, idx: usize, duration_ps: u64) {
        self.durations.set(idx, duration_ps);
    }

    /// Whether the events are in the order (begin ascending, duration descending).
    pub fn is_sorted(&self) -> bool {
        (1..self.len()).all(|i| {
            let (a, b) = (self.begin_ps[i - 1], self.begin_ps[i]);
            a < b || (a == b && self.duration_ps(i - 1) >= self.duration_ps(i))
        })
    }

    /// Rearranges the events: the new one at place `i` is the old one at `order[i]`.
    pub(super) fn permute(&mut self, order: &[u32]) {
        self.rows.permute(order);
        permute(&mut self.begin_ps, order);
        self.durations.permute(order);
        self.bodies.permute(order);
    }

    /// Bytes of memory held.
    pub fn weight(&self) -> usize {
        self.rows.weight() + self.begin_ps.capacity() * 8 + self.durations.weight() + self.bodies.weight()
    }
}

impl Default for EventColumns {
    fn default() -> Self {
        Self::new()
    }
}

fn permute<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
    *column = order.iter().filter_map(|&i| column.get(i as usize).copied()).collect();
}

/// Metadata rows: 16 bits wide where the plane has few.
#[derive(Debug)]
pub(super) enum Rows {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

/// A chunk of [`Rows`].
pub(super) enum RowsMut<'a> {
    Narrow(&'a mut [u16]),
    Wide(&'a mut [u32]),
}

/// The two highest numbers stand for the two highest of 32 bits, which are no rows: no metadata, and a damaged event.
const NARROW_SPECIAL: u16 = u16::MAX - 1;

fn to_narrow(row: u32) -> Option<u16> {
    let special = NO_METADATA - u32::from(u16::MAX - NARROW_SPECIAL);
    match u16::try_from(row) {
        Ok(row) if row < NARROW_SPECIAL => Some(row),
        _ if row >= special => Some(NARROW_SPECIAL + (row - special) as u16),
        _ => None,
    }
}

#[inline]
fn from_narrow(row: u16) -> u32 {
    if row < NARROW_SPECIAL { u32::from(row) } else { NO_METADATA - u32::from(u16::MAX - row) }
}

impl Rows {
    /// As many as there are events, wide enough for tables of `n_rows`.
    pub(super) fn zeros(n_events: usize, n_rows: usize) -> Self {
        if n_rows < usize::from(NARROW_SPECIAL) {
            Self::Narrow(vec![0; n_events])
        } else {
            Self::Wide(vec![0; n_events])
        }
    }

    #[inline]
    fn get(&self, idx: usize) -> u32 {
        match self {
            Self::Narrow(rows) => rows.get(idx).map_or(NO_METADATA, |&row| from_narrow(row)),
            Self::Wide(rows) => rows.get(idx).copied().unwrap_or(NO_METADATA),
        }
    }

    fn push(&mut self, row: u32) {
        match (&mut *self, to_narrow(row)) {
            (Self::Narrow(rows), Some(row)) => rows.push(row),
            (Self::Narrow(rows), None) => {
                let mut wide: Vec<u32> = rows.iter().map(|&row| from_narrow(row)).collect();
                wide.push(row);
                *self = Self::Wide(wide);
            }
            (Self::Wide(rows), _) => rows.push(row),
        }
    }

    /// In pieces of `len`.
    pub(super) fn chunks_mut(&mut self, len: usize) -> Vec<RowsMut<'_>> {
        match self {
            Self::Narrow(rows) => rows.chunks_mut(len).map(RowsMut::Narrow).collect(),
            Self::Wide(rows) => rows.chunks_mut(len).map(RowsMut::Wide).collect(),
        }
    }

    fn permute(&mut self, order: &[u32]) {
        match self {
            Self::Narrow(rows) => permute(rows, order),
            Self::Wide(rows) => permute(rows, order),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Narrow(rows) => rows.capacity() * 2,
            Self::Wide(rows) => rows.capacity() * 4,
        }
    }
}

impl RowsMut<'_> {
    #[inline]
    pub(super) fn set(&mut self, idx: usize, row: u32) {
        match self {
            Self::Narrow(rows) => rows[idx] = to_narrow(row).unwrap_or(u16::MAX),
            Self::Wide(rows) => rows[idx] = row,
        }
    }
}

/// Durations: 40 bits reach to 1.09 s, which hardly any event exceeds. Those stand in a list of their own.
#[derive(Debug)]
pub(super) struct Durations {
    low: Vec<u32>,
    /// The bits above `low`; [`LONG`] if the duration is in the list.
    high: Vec<u8>,
    /// Event and duration, ascending.
    long: Vec<(u32, u64)>,
}

/// A chunk of [`Durations`], with the long ones found in it.
pub(super) struct DurationsMut<'a> {
    first: u32,
    low: &'a mut [u32],
    high: &'a mut [u8],
}

const LONG: u8 = u8::MAX;

/// The two columns' parts of a duration.
#[inline]
fn split(duration_ps: u64) -> (u32, u8) {
    (duration_ps as u32, u8::try_from(duration_ps >> 32).unwrap_or(LONG))
}

impl Durations {
    pub(super) fn zeros(n_events: usize) -> Self {
        Self { low: vec![0; n_events], high: vec![0; n_events], long: Vec::new() }
    }

    /// In pieces of `len`. What they find too long must be given to [`Durations::add_long`].
    pub(super) fn chunks_mut(&mut self, len: usize) -> impl Iterator<Item = DurationsMut<'_>> {
        let chunks = self.low.chunks_mut(len).zip(self.high.chunks_mut(len));
        (0..).step_by(len).zip(chunks).map(|(first, (low, high))| DurationsMut { first, low, high })
    }

    /// Takes the list of the next piece.
    pub(super) fn add_long(&mut self, long: &mut Vec<(u32, u64)>) {
        self.long.append(long);
    }

    #[inline]
    fn get(&self, idx: usize) -> u64 {
        match (self.low.get(idx), self.high.get(idx)) {
            (Some(&low), Some(&high)) if high != LONG => u64::from(high) << 32 | u64::from(low),
            _ => self.long(idx),
        }
    }

    #[inline(never)]
    fn long(&self, idx: usize) -> u64 {
        self.place(idx).map_or(0, |at| self.long[at].1)
    }

    fn place(&self, idx: usize) -> Result<usize, usize> {
        self.long.binary_search_by_key(&idx, |&(event, _)| event as usize)
    }

    fn push(&mut self, duration_ps: u64) {
        let (low, high) = split(duration_ps);
        if high == LONG {
            self.long.push((self.low.len() as u32, duration_ps));
        }
        self.low.push(low);
        self.high.push(high);
    }

    fn set(&mut self, idx: usize, duration_ps: u64) {
        let (Some(low), Some(high)) = (self.low.get_mut(idx), self.high.get_mut(idx)) else { return };
        (*low, *high) = split(duration_ps);
        let is_long = *high == LONG;
        match (self.place(idx), is_long) {
            (Ok(at), true) => self.long[at].1 = duration_ps,
            (Err(at), true) => self.long.insert(at, (idx as u32, duration_ps)),
            // An entry that is not referred to any more does no harm.
            (_, false) => {}
        }
    }

    fn permute(&mut self, order: &[u32]) {
        let long = order.iter().zip(0u32..).filter(|(old, _)| self.high.get(**old as usize) == Some(&LONG));
        let long = long.map(|(&old, new)| (new, self.long(old as usize))).collect();
        permute(&mut self.low, order);
        permute(&mut self.high, order);
        self.long = long;
    }

    fn weight(&self) -> usize {
        self.low.capacity() * 4 + self.high.capacity() + self.long.capacity() * size_of::<(u32, u64)>()
    }
}

impl DurationsMut<'_> {
    /// Sets a duration; one that is too long is also added to `long`, which is asked for in ascending order.
    #[inline]
    pub(super) fn set(&mut self, idx: usize, duration_ps: u64, long: &mut Vec<(u32, u64)>) {
        (self.low[idx], self.high[idx]) = split(duration_ps);
        if self.high[idx] == LONG {
            long.push((self.first + idx as u32, duration_ps));
        }
    }
}

/// Where the encoded events are: the position of each one's length, which its bytes follow.
/// Positions are 32 bits wide from the line's start as long as the line is shorter than 4 GiB.
/// On lines that preparation makes there are none.
#[derive(Debug)]
pub(super) enum Bodies {
    Narrow { base: u64, at: Vec<u32> },
    Wide(Vec<u64>),
}

/// Events that preparation makes have no bytes in the file.
const NO_BODY_NARROW: u32 = u32::MAX;
const NO_BODY_WIDE: u64 = u64::MAX;

impl Bodies {
    #[inline]
    pub(super) fn get(&self, idx: usize) -> Option<u64> {
        match self {
            Self::Narrow { base, at } => at.get(idx).filter(|&&p| p != NO_BODY_NARROW).map(|&p| base + u64::from(p)),
            Self::Wide(at) => at.get(idx).copied().filter(|&p| p != NO_BODY_WIDE),
        }
    }

    /// One more event without bytes.
    fn push_none(&mut self) {
        match self {
            // Where no event has bytes, none needs a place.
            Self::Narrow { at, .. } if at.is_empty() => {}
            Self::Narrow { at, .. } => at.push(NO_BODY_NARROW),
            Self::Wide(at) if at.is_empty() => {}
            Self::Wide(at) => at.push(NO_BODY_WIDE),
        }
    }

    fn permute(&mut self, order: &[u32]) {
        match self {
            Self::Narrow { at, .. } => permute(at, order),
            Self::Wide(at) => permute(at, order),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Narrow { at, .. } => at.capacity() * 4,
            Self::Wide(at) => at.capacity() * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_width_come_back() {
        let durations = [0, 7, u64::from(u32::MAX), (255 << 32) - 1, 255 << 32, 256 << 32, u64::MAX];
        let rows = [0, 65_533, 65_534, 65_535, 1 << 20, NO_METADATA - 1, NO_METADATA];
        let mut columns = EventColumns::new();
        let mut expect = Vec::new();
        for row in rows {
            for duration in durations {
                columns.push(row, u64::from(row), duration);
                expect.push((row, duration));
            }
        }
        let all = |c: &EventColumns| (0..c.len()).map(|i| (c.row(i), c.duration_ps(i))).collect::<Vec<_>>();
        assert_eq!(all(&columns), expect);
        columns.set_duration_ps(0, u64::MAX - 5);
        columns.set_duration_ps(4, 12);
        columns.set_duration_ps(4, 1 << 45);
        (expect[0].1, expect[4].1) = (u64::MAX - 5, 1 << 45);
        assert_eq!(all(&columns), expect);
        let order: Vec<u32> = (0..expect.len() as u32).rev().step_by(2).collect();
        columns.permute(&order);
        assert_eq!(all(&columns), order.iter().map(|&i| expect[i as usize]).collect::<Vec<_>>());
    }

    #[test]
    fn narrow_rows_keep_their_special_values() {
        let mut rows = Rows::zeros(3, 100);
        for chunk in &mut rows.chunks_mut(3) {
            for (idx, row) in [99, NO_METADATA - 1, NO_METADATA].into_iter().enumerate() {
                chunk.set(idx, row);
            }
        }
        assert!(matches!(rows, Rows::Narrow(_)));
        assert_eq!([rows.get(0), rows.get(1), rows.get(2)], [99, NO_METADATA - 1, NO_METADATA]);
    }
}
