/**
 * The server's answers as typed arrays over the bytes received: nothing is copied, nothing is parsed event by event.
 * `docs/timeline-format.md` describes the bytes.
 */

const MAGIC = 'timelin1';

type Column = Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** One host's answer. */
export class Block<Header extends Facts = Facts> {
  constructor(
    readonly header: Header,
    readonly columns: ReadonlyMap<string, Column>,
  ) {}

  u8(name: string): Uint8Array<ArrayBuffer> {
    const column = this.columns.get(name);
    return column instanceof Uint8Array ? column : new Uint8Array(0);
  }

  u32(name: string): Uint32Array<ArrayBuffer> {
    const column = this.columns.get(name);
    return column instanceof Uint32Array ? column : new Uint32Array(0);
  }

  f64(name: string): Float64Array<ArrayBuffer> {
    const column = this.columns.get(name);
    return column instanceof Float64Array ? column : new Float64Array(0);
  }
}

/** What every header says. Times are texts, because picoseconds may exceed what a double holds. */
export interface Facts {
  readonly query: string;
  readonly host: string;
  readonly min_ps: string;
  readonly max_ps: string;
}

export interface Named extends Facts {
  readonly names: readonly string[];
  readonly categories: readonly string[];
}

export interface ProcessInfo {
  readonly id: number;
  readonly name: string;
}

export interface RowInfo {
  /** Index of the process. */
  readonly process: number;
  readonly kind: 'thread' | 'async' | 'counter';
  /** Tells rows of a process apart, however the trace is asked for. */
  readonly id: string;
  readonly name: string;
  readonly lanes: number;
  /** How many events or samples the whole trace has on it. */
  readonly n: number;
  /** Range of a counter over the whole trace, zero included. */
  readonly low?: number;
  readonly high?: number;
}

export interface WindowHeader extends Named {
  readonly begin_ps: string;
  readonly end_ps: string;
  readonly tick_ps: number;
  readonly part_ps: number;
  readonly processes: readonly ProcessInfo[];
  readonly rows: readonly RowInfo[];
}

export interface SearchHeader extends Named {
  readonly n: number;
}

export interface AreaHeader extends Named {
  readonly begin_ps: string;
  readonly end_ps: string;
}

/** An event by its place. */
export interface EventPlace {
  readonly row: number;
  readonly position: number;
  readonly name: string;
  readonly begin_ps: string;
  readonly duration_ps: string;
  readonly lane: number;
}

export interface EventHeader extends Facts, EventPlace {
  readonly category?: string;
  readonly module?: string;
  readonly group?: number;
  readonly args: readonly (readonly [string, string | number])[];
  /** The events in which it lies, outermost first. */
  readonly parents: readonly EventPlace[];
  /** Those that a flow links it with; direction 1 in, 2 out, 3 both. */
  readonly linked: readonly (EventPlace & { readonly direction: number })[];
}

/** Reads an answer: a block per host. */
export function decode<Header extends Facts>(buffer: ArrayBuffer): Block<Header>[] {
  const bytes = new Uint8Array(buffer);
  const text = new TextDecoder();
  if (text.decode(bytes.subarray(0, 8)) !== MAGIC) throw new Error('the answer is not of the format that this page knows; reload the page');
  const view = new DataView(buffer);
  const blocks: Block<Header>[] = [];
  for (let at = 8; at < buffer.byteLength; ) {
    const headerLength = view.getUint32(at, true);
    const bodyLength = view.getUint32(at + 4, true);
    const header = JSON.parse(text.decode(bytes.subarray(at + 8, at + 8 + headerLength))) as Header & { columns: [string, string, number][] };
    const columns = new Map<string, Column>();
    let from = at + 8 + headerLength;
    for (const [name, type, length] of header.columns) {
      const column = typed(type, buffer, from, length);
      columns.set(name, column);
      from += Math.ceil(column.byteLength / 8) * 8;
    }
    at += 8 + headerLength + bodyLength;
    if (from !== at) throw new Error('the columns of the answer do not match its length');
    blocks.push(new Block(header, columns));
  }
  return blocks;
}

function typed(type: string, buffer: ArrayBuffer, at: number, length: number): Column {
  switch (type) {
    case 'u8':
      return new Uint8Array(buffer, at, length);
    case 'u32':
      return new Uint32Array(buffer, at, length);
    case 'f64':
      return new Float64Array(buffer, at, length);
    default:
      throw new Error(`the answer has a column of unknown type ${type}`);
  }
}
