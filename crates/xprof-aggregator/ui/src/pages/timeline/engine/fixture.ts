/** Answers as the server writes them, for tests. */

import { decode, type Block, type RowInfo, type WindowHeader } from './block';
import { Loaded } from './loaded';

type Values = readonly number[];
const TYPES = { u8: Uint8Array, u32: Uint32Array, f64: Float64Array };

/** One block: facts, and columns by name as `[type, values]`. */
export function encode(facts: object, columns: Readonly<Record<string, readonly [keyof typeof TYPES, Values]>>): Uint8Array<ArrayBuffer> {
  const listed = Object.entries(columns).map(([name, [type, values]]) => [name, type, values.length]);
  const json = new TextEncoder().encode(JSON.stringify({ ...facts, columns: listed }));
  const header = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(32);
  header.set(json);
  const parts = Object.values(columns).map(([type, values]) => {
    const bytes = new Uint8Array(TYPES[type].from(values).buffer);
    const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
    padded.set(bytes);
    return padded;
  });
  const body = parts.reduce((sum, part) => sum + part.length, 0);
  const lengths = new Uint8Array(Uint32Array.of(header.length, body).buffer);
  return concat([lengths, header, ...parts]);
}

export function answer(...blocks: Uint8Array<ArrayBuffer>[]): ArrayBuffer {
  return concat([new TextEncoder().encode('timelin1'), ...blocks]).buffer;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One event or group: row, lane, begin and duration in ticks, name. */
export interface Event {
  readonly row: number;
  readonly lane: number;
  readonly start: number;
  readonly duration: number;
  readonly name: string;
  readonly count?: number;
}

/** A window of events that are in the order of rows and begins. */
export function windowOf(events: readonly Event[], rows: readonly Partial<RowInfo>[], span: { begin: number; end: number; part?: number } = { begin: 0, end: 1000 }): Loaded {
  const names = [...new Set(events.map(({ name }) => name))];
  const ends = rows.map((_, row) => events.filter((event) => event.row <= row).length);
  const header: WindowHeader = {
    query: 'window',
    host: 'h',
    min_ps: '0',
    max_ps: '1000',
    begin_ps: String(span.begin),
    end_ps: String(span.end),
    tick_ps: 1,
    part_ps: span.part ?? 1,
    processes: [{ id: 1, name: '/device:TPU:0' }, { id: 701, name: '/host:CPU' }],
    rows: rows.map((row, i) => ({ process: 0, kind: 'thread', id: String(i), name: `row ${i}`, lanes: 2, n: 1, ...row })),
    names,
    categories: [],
  };
  const column = (pick: (event: Event, i: number) => number): Values => events.map(pick);
  const [block] = decode<WindowHeader>(
    answer(
      encode(header, {
        name_category: ['u32', names.map(() => 0xffffffff)],
        row_end: ['u32', ends],
        start: ['u32', column((e) => e.start)],
        duration: ['u32', column((e) => e.duration)],
        name: ['u32', column((e) => names.indexOf(e.name))],
        count: ['u32', column((e) => e.count ?? 1)],
        position: ['u32', column((_, i) => i)],
        lane: ['u8', column((e) => e.lane)],
        coverage: ['u8', column(() => 255)],
      }),
    ),
  );
  return new Loaded(block as Block<WindowHeader>, `${span.begin}`, 0n, 1);
}
