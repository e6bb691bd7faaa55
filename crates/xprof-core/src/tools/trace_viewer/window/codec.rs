//! Bytes of a [`Window`]: varints in a fixed order, times as differences.
//!
//! Takes a window, gives bytes, and back. Bytes from elsewhere may be anything: every count is checked against the bytes
//! that are left before memory is reserved, every index against its table.
//! It must not compress: the transport and the store do.

use bytestring::ByteString;

use super::{Events, NO_GROUP, Process, Row, RowKind, Value, Window};
use crate::prep::flows::Flow;
use crate::wire::read_varint;

type Decoded<T> = Result<T, &'static str>;

/// Which optional columns of a row follow.
mod column {
    pub const DURATIONS: u64 = 1;
    pub const NAMES: u64 = 2;
    pub const SERIALS: u64 = 4;
    pub const GROUPS: u64 = 8;
    pub const FLOWS: u64 = 16;
    pub const ARGS: u64 = 32;
}

/// The bytes that [`decode`] reads.
pub fn encode(window: &Window) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(256 + window.n_events() * 8));
    out.put(window.min_ps);
    out.put(window.max_ps);
    out.put(u64::from(window.has_tpu) | u64::from(window.not_found) << 1);
    out.list(&window.texts, |out, text| out.bytes(text.as_bytes()));
    out.list(&window.frames, |out, &frame| out.put(u64::from(frame)));
    out.list(&window.processes, |out, p| {
        out.put(u64::from(p.device_id));
        out.put(u64::from(p.name));
        out.put(u64::from(p.is_tpu));
        out.list(&p.threads, |out, &(id, name)| {
            out.put(u64::from(id));
            out.put(u64::from(name));
        });
    });
    out.list(&window.rows, |out, row| {
        let (tag, value) = match row.kind {
            RowKind::Counter(name) => (0, name),
            RowKind::Async(name) => (1, name),
            RowKind::Thread(id) => (2, id),
        };
        out.put(u64::from(row.process));
        out.put(tag);
        out.put(u64::from(value));
        out.events(&row.events);
    });
    out.0
}

struct Out(Vec<u8>);

impl Out {
    #[inline]
    fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn put_signed(&mut self, value: i64) {
        self.put((value << 1 ^ value >> 63) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.put(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.put(items.len() as u64);
        items.iter().for_each(|i| item(self, i));
    }

    fn events(&mut self, events: &Events) {
        let has = |flag, is_empty: bool| if is_empty { 0 } else { flag };
        self.put(events.len() as u64);
        self.put(
            has(column::DURATIONS, events.duration_ps.is_empty())
                | has(column::NAMES, events.names.is_empty())
                | has(column::SERIALS, events.serials.is_empty())
                | has(column::GROUPS, events.groups.is_empty())
                | has(column::FLOWS, events.flows.is_empty())
                | has(column::ARGS, events.arg_ends.is_empty()),
        );
        let mut before = 0u64;
        for &begin in &events.begin_ps {
            self.put_signed(begin.wrapping_sub(before) as i64);
            before = begin;
        }
        events.duration_ps.iter().for_each(|&v| self.put(v));
        events.names.iter().for_each(|&v| self.put(u64::from(v)));
        self.0.extend_from_slice(&events.serials);
        // No group becomes 0, so groups are moved up by one.
        events.groups.iter().for_each(|&v| self.put_signed(v.wrapping_sub(NO_GROUP)));
        if !events.flows.is_empty() {
            self.list(&events.flows, |out, (idx, flow)| {
                out.put(u64::from(*idx));
                out.0.extend_from_slice(&flow.0.to_le_bytes());
            });
        }
        if !events.arg_ends.is_empty() {
            events.arg_ends.iter().for_each(|&v| self.put(u64::from(v)));
            self.list(&events.args, |out, (name, value)| {
                out.put(u64::from(*name));
                out.value(*value);
            });
        }
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Int(v) => {
                self.0.push(0);
                self.put_signed(v);
            }
            Value::Uint(v) => {
                self.0.push(1);
                self.put(v);
            }
            Value::Double(v) => {
                self.0.push(2);
                self.0.extend_from_slice(&v.to_bits().to_le_bytes());
            }
            Value::Text(v) => {
                self.0.push(3);
                self.put(u64::from(v));
            }
            Value::Frame(v) => {
                self.0.push(4);
                self.put(u64::from(v));
            }
        }
    }
}

/// Reads what [`encode`] wrote; anything else is refused with a reason.
pub fn decode(data: &[u8]) -> Decoded<Window> {
    let mut input = In { data, pos: 0, n_texts: 0 };
    let (min_ps, max_ps, flags) = (input.get()?, input.get()?, input.get()?);
    let texts = input.list(|i| {
        let bytes = i.bytes()?;
        ByteString::try_from(bytes.to_vec()).map_err(|_| "a text is not UTF-8")
    })?;
    input.n_texts = texts.len();
    let frames = input.list(In::text)?;
    let processes = input.list(|i| {
        Ok(Process {
            device_id: i.get_u32()?,
            name: i.text()?,
            is_tpu: i.get()? != 0,
            threads: i.list(|i| Ok((i.get_u32()?, i.text()?)))?,
        })
    })?;
    let n_processes = processes.len();
    let rows = input.list(|i| {
        let process = i.get_u32()?;
        if process as usize >= n_processes {
            return Err("a row belongs to no process");
        }
        let kind = match i.get()? {
            0 => RowKind::Counter(i.text()?),
            1 => RowKind::Async(i.text()?),
            2 => RowKind::Thread(i.get_u32()?),
            _ => return Err("a row is of an unknown kind"),
        };
        Ok(Row { process, kind, events: i.events()? })
    })?;
    if input.pos != data.len() {
        return Err("bytes follow the end");
    }
    let (has_tpu, not_found) = (flags & 1 != 0, flags & 2 != 0);
    Ok(Window { min_ps, max_ps, has_tpu, not_found, texts, frames, processes, rows })
}

struct In<'a> {
    data: &'a [u8],
    pos: usize,
    n_texts: usize,
}

impl<'a> In<'a> {
    #[inline]
    fn get(&mut self) -> Decoded<u64> {
        read_varint(self.data, &mut self.pos).map_err(|_| "a number is damaged")
    }

    fn get_u32(&mut self) -> Decoded<u32> {
        u32::try_from(self.get()?).map_err(|_| "a number is too large")
    }

    fn get_signed(&mut self) -> Decoded<i64> {
        let value = self.get()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn text(&mut self) -> Decoded<u32> {
        let text = self.get_u32()?;
        if (text as usize) < self.n_texts { Ok(text) } else { Err("a text is missing") }
    }

    /// A number of items, each of which takes at least one byte.
    fn count(&mut self) -> Decoded<usize> {
        let n = self.get()?;
        if n <= (self.data.len() - self.pos) as u64 { Ok(n as usize) } else { Err("a list is longer than the bytes") }
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let n = self.count()?;
        self.times(n, &mut item)
    }

    fn times<T>(&mut self, n: usize, item: &mut impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        // An item may be much larger than its bytes, so what is reserved grows with what was really read.
        let mut items = Vec::with_capacity(n.min(4096));
        for _ in 0..n {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let n = self.count()?;
        self.raw(n)
    }

    fn raw(&mut self, n: usize) -> Decoded<&'a [u8]> {
        let bytes = self.data.get(self.pos..).and_then(|rest| rest.get(..n)).ok_or("the bytes end too soon")?;
        self.pos += n;
        Ok(bytes)
    }

    fn fixed(&mut self) -> Decoded<u64> {
        let bytes = self.raw(8)?.first_chunk::<8>().ok_or("the bytes end too soon")?;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn events(&mut self) -> Decoded<Events> {
        let n = self.count()?;
        let columns = self.get()?;
        let has = |flag| columns & flag != 0;
        let mut events = Events::default();
        let mut begin_ps = 0u64;
        events.begin_ps = self.times(n, &mut |i: &mut Self| {
            begin_ps = begin_ps.wrapping_add(i.get_signed()? as u64);
            Ok(begin_ps)
        })?;
        if has(column::DURATIONS) {
            events.duration_ps = self.times(n, &mut Self::get)?;
        }
        if has(column::NAMES) {
            events.names = self.times(n, &mut Self::text)?;
        }
        if has(column::SERIALS) {
            events.serials = self.raw(n)?.to_vec();
        }
        if has(column::GROUPS) {
            events.groups = self.times(n, &mut |i: &mut Self| Ok(i.get_signed()?.wrapping_add(NO_GROUP)))?;
        }
        if has(column::FLOWS) {
            let mut next = 0;
            events.flows = self.list(|i| {
                let idx = i.get_u32()?;
                if idx < next || idx as usize >= n {
                    return Err("a flow belongs to no event");
                }
                next = idx + 1;
                Ok((idx, Flow(i.fixed()?)))
            })?;
        }
        if has(column::ARGS) {
            self.args(n, &mut events)?;
        }
        Ok(events)
    }

    fn args(&mut self, n_events: usize, events: &mut Events) -> Decoded<()> {
        let mut before = 0;
        events.arg_ends = self.times(n_events, &mut |i: &mut Self| {
            let end = i.get_u32()?;
            if end < before {
                return Err("arguments end before they begin");
            }
            before = end;
            Ok(end)
        })?;
        events.args = self.list(|i| {
            let name = i.text()?;
            let value = match i.raw(1)? {
                [0] => Value::Int(i.get_signed()?),
                [1] => Value::Uint(i.get()?),
                [2] => Value::Double(f64::from_bits(i.fixed()?)),
                [3] => Value::Text(i.text()?),
                [4] => Value::Frame(i.text()?),
                _ => return Err("a value is of an unknown kind"),
            };
            Ok((name, value))
        })?;
        if before as usize == events.args.len() { Ok(()) } else { Err("arguments belong to no event") }
    }
}
