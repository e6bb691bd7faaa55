/** A window as it is drawn: the columns of its block, with the place of each box in the palette. */

import type { Block, RowInfo, WindowHeader } from './block';
import { colourOf, DIM, GROUP, namesOps } from './palette';
import type { View } from './time';

export class Loaded {
  readonly rowEnd: Uint32Array<ArrayBuffer>;
  readonly start: Uint32Array<ArrayBuffer>;
  readonly duration: Uint32Array<ArrayBuffer>;
  readonly name: Uint32Array<ArrayBuffer>;
  readonly count: Uint32Array<ArrayBuffer>;
  readonly position: Uint32Array<ArrayBuffer>;
  readonly lane: Uint8Array<ArrayBuffer>;
  readonly coverage: Uint8Array<ArrayBuffer>;
  readonly sampleEnd: Uint32Array<ArrayBuffer>;
  readonly sampleStart: Uint32Array<ArrayBuffer>;
  readonly sampleLow: Float64Array<ArrayBuffer>;
  readonly sampleHigh: Float64Array<ArrayBuffer>;
  /** Place in the palette, {@link DIM} and {@link GROUP}. */
  readonly colour: Uint8Array<ArrayBuffer>;
  /** Raised when colours change, so that a renderer knows to send them again. */
  version = 0;
  /** Begin in ps from the origin of the page. */
  readonly from: number;
  readonly to: number;
  readonly tick: number;
  readonly part: number;
  /** True begin and end of the boxes that stick out. */
  readonly #outside = new Map<number, readonly [number, number]>();
  #lit = '';

  constructor(
    readonly block: Block<WindowHeader>,
    readonly key: string,
    origin: bigint,
    /** Bytes that it came in, for whoever bounds memory. */
    readonly bytes: number,
  ) {
    const { header } = block;
    this.from = Number(BigInt(header.begin_ps) - origin);
    this.to = Number(BigInt(header.end_ps) - origin);
    this.tick = header.tick_ps;
    this.part = header.part_ps;
    this.rowEnd = block.u32('row_end');
    this.start = block.u32('start');
    this.duration = block.u32('duration');
    this.name = block.u32('name');
    this.count = block.u32('count');
    this.position = block.u32('position');
    this.lane = block.u8('lane');
    this.coverage = block.u8('coverage');
    this.sampleEnd = block.u32('sample_end');
    this.sampleStart = block.u32('sample_start');
    this.sampleLow = block.f64('sample_low');
    this.sampleHigh = block.f64('sample_high');
    this.colour = new Uint8Array(this.start.length);
    const [begins, ends] = [block.f64('outside_begin_ps'), block.f64('outside_end_ps')];
    block.u32('outside').forEach((box, i) => this.#outside.set(box, [this.from + begins[i]!, this.from + ends[i]!]));
    this.#paint();
  }

  get rows(): readonly RowInfo[] {
    return this.block.header.rows;
  }

  /** The boxes of a row: the first, and the one behind the last. */
  boxes(row: number): readonly [number, number] {
    return [row > 0 ? this.rowEnd[row - 1]! : 0, this.rowEnd[row] ?? 0];
  }

  samples(row: number): readonly [number, number] {
    return [row > 0 ? this.sampleEnd[row - 1]! : 0, this.sampleEnd[row] ?? 0];
  }

  nameOf(box: number): string {
    return this.block.header.names[this.name[box]!] ?? '';
  }

  categoryOf(box: number): string | undefined {
    return this.block.header.categories[this.block.u32('name_category')[this.name[box]!] ?? -1];
  }

  /** Begin and end of a box in ps from the origin; true also where it sticks out of the window. */
  span(box: number): readonly [number, number] {
    const from = this.from + this.start[box]! * this.tick;
    return this.#outside.get(box) ?? [from, from + this.duration[box]! * this.tick];
  }

  covers({ from, span }: View): boolean {
    return this.from <= from && from + span <= this.to;
  }

  /** Takes the strength from every box whose name does not hold `text`. */
  light(text: string): void {
    const lower = text.toLowerCase();
    if (this.#lit === lower) return;
    this.#lit = lower;
    const dims = this.block.header.names.map((name) => (lower && !name.toLowerCase().includes(lower) ? DIM : 0));
    for (let i = 0; i < this.colour.length; i++) this.colour[i] = (this.colour[i]! & ~DIM) | dims[this.name[i]!]!;
    this.version += 1;
  }

  #paint(): void {
    const { names, categories, processes, rows } = this.block.header;
    const category = this.block.u32('name_category');
    const colours = [false, true].map((isOp) => names.map((name, i) => colourOf(name, categories[category[i]!], isOp)));
    rows.forEach((row, i) => {
      const isOp = namesOps(processes[row.process]?.name ?? '', row.name);
      const ofNames = colours[isOp ? 1 : 0]!;
      const [first, end] = this.boxes(i);
      for (let box = first; box < end; box++) this.colour[box] = ofNames[this.name[box]!]! | (this.count[box]! > 1 ? GROUP : 0);
    });
  }
}

/** A part of a view, and the window to draw it from. */
export interface Slice {
  readonly loaded: Loaded;
  readonly from: number;
  readonly to: number;
}

/**
 * What to draw a view from: one window that is as fine as the screen and holds all of it, else several; coarser ones where those do
 * not reach. Windows much finer than
 * the screen are left out: they would cost time and look unlike their surroundings.
 */
export function slices(loaded: Iterable<Loaded>, view: View, partPerPixel: number): Slice[] {
  const useful = [...loaded].filter((l) => l.part * 8 >= partPerPixel || l.covers(view));
  const fine = useful.filter((l) => l.part <= partPerPixel * 1.01).sort((a, b) => Number(b.covers(view)) - Number(a.covers(view)) || b.part - a.part);
  const coarse = useful.filter((l) => l.part > partPerPixel * 1.01).sort((a, b) => a.part - b.part);
  let missing: [number, number][] = [[view.from, view.from + view.span]];
  const parts: Slice[] = [];
  for (const l of [...fine, ...coarse]) {
    const left: [number, number][] = [];
    for (const [from, to] of missing) {
      const [a, b] = [Math.max(from, l.from), Math.min(to, l.to)];
      if (a >= b) {
        left.push([from, to]);
        continue;
      }
      parts.push({ loaded: l, from: a, to: b });
      if (from < a) left.push([from, a]);
      if (b < to) left.push([b, to]);
    }
    missing = left;
  }
  return parts;
}
