/** What lies over the boxes: names, counters, arrows, marks, the selection. Drawn on a canvas of its own each frame. */

import { BOX, laneTop } from './layout';
import type { Loaded } from './loaded';
import { DIM, type Palette } from './palette';
import type { Frame, Hit, Placed } from './scene';

/** Colours of the page that the canvas needs. */
export interface Theme {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly accent: string;
  readonly warn: string;
  readonly raised: string;
  readonly background: string;
  readonly font: string;
}

/** A place of an event, for arrows and outlines. */
export interface Spot {
  readonly host: number;
  readonly row: number;
  readonly lane: number;
  readonly from: number;
  readonly to: number;
}

export interface Arrow {
  readonly from: Spot;
  readonly to: Spot;
}

export interface Marks {
  readonly hover?: Hit;
  readonly selected?: Spot;
  readonly arrows: readonly Arrow[];
  /** An area in ps and heights of the scrolled content; without heights it is a span over all rows. */
  readonly area?: { readonly from: number; readonly to: number; readonly top?: number; readonly bottom?: number };
  /** Begins of what a search found, for the strip of the whole. */
  readonly hits?: readonly { readonly from: number }[];
  /** Where the pointer is, in pixels. */
  readonly cursor?: number;
}

/** Boxes narrower than this have no name. */
const MIN_NAMED = 34;
/** Names are cut for widths in steps of so many pixels. */
const STEP = 5;

export class Overlay {
  readonly #context: CanvasRenderingContext2D;
  readonly #cut = new Map<string, string>();

  constructor(readonly canvas: HTMLCanvasElement) {
    this.#context = canvas.getContext('2d')!;
  }

  resize(width: number, height: number, ratio: number): void {
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  draw(frame: Frame, items: readonly Placed[], marks: Marks, palette: Palette, theme: Theme): void {
    const c = this.#context;
    c.clearRect(0, 0, frame.width, frame.height);
    c.font = theme.font;
    c.textBaseline = 'middle';
    for (const place of items) {
      c.save();
      c.beginPath();
      c.rect(0, place.clip[0], frame.width, place.clip[1] - place.clip[0]);
      c.clip();
      this.#item(frame, place, palette, theme);
      c.restore();
    }
    if (marks.hover) this.#outline(frame, items, spotOf(marks.hover), theme.text, 1);
    for (const arrow of marks.arrows) this.#arrow(frame, items, arrow, theme);
    if (marks.selected) this.#outline(frame, items, marks.selected, theme.accent, 2);
    this.#area(frame, marks, theme);
    this.#pinnedEdge(frame, theme);
    if (marks.cursor !== undefined) this.#line(marks.cursor, frame.height, theme.muted, 0.5);
  }

  #item(frame: Frame, place: Placed, palette: Palette, theme: Theme): void {
    const c = this.#context;
    const { item, top } = place;
    c.fillStyle = theme.line;
    c.fillRect(0, Math.round(top + item.height) - 1, frame.width, 1);
    if (item.kind === 'row') {
      if (item.info?.kind === 'counter') this.#counter(frame, place, theme);
      else this.#names(frame, place, palette, theme);
    } else if (item.kind !== 'message' && !item.preview.length) {
      c.globalAlpha = 0.6;
      c.fillStyle = theme.raised;
      c.fillRect(0, top, frame.width, item.height - 1);
      c.globalAlpha = 1;
    }
  }

  #names(frame: Frame, { item, top }: Placed, palette: Palette, theme: Theme): void {
    const c = this.#context;
    const scale = frame.width / frame.view.span;
    for (const { loaded, from, to } of frame.slices(item.host)) {
      const { start, duration, lane, count, colour, tick } = loaded;
      const perTick = tick * scale;
      const origin = (loaded.from - frame.view.from) * scale;
      const [left, right] = [Math.max(0, (from - frame.view.from) * scale), Math.min(frame.width, (to - frame.view.from) * scale)];
      const least = MIN_NAMED / perTick;
      const [first, end] = loaded.boxes(item.row);
      for (let i = first; i < end; i++) {
        if (duration[i]! < least || lane[i]! >= item.lanes || count[i]! > 1) continue;
        const x = origin + start[i]! * perTick;
        if (x >= right) break;
        const from = Math.max(x, left) + 4;
        const room = Math.min(x + duration[i]! * perTick, right) - 4 - from;
        if (room < MIN_NAMED - 8) continue;
        // On a box without strength the text is that of the background.
        c.globalAlpha = colour[i]! & DIM ? 0.45 : 1;
        c.fillStyle = colour[i]! & DIM ? theme.text : palette.ink[colour[i]! & 0x1f]!;
        c.fillText(this.#fit(loaded.nameOf(i), room), from, top + laneTop(lane[i]!) + BOX / 2 + 0.5);
      }
    }
    c.globalAlpha = 1;
  }

  /** Cuts a name in its middle, so that its number stays. Rooms that differ by less than a letter are cut alike. */
  #fit(name: string, room: number): string {
    const c = this.#context;
    const width = Math.floor(room / STEP) * STEP;
    const key = `${width} ${name}`;
    let cut = this.#cut.get(key);
    if (cut !== undefined) return cut;
    cut = name;
    const tail = /[.\d]*$/.exec(name)![0].slice(-6);
    for (let head = Math.min(name.length - 1, Math.ceil(width / 4)); c.measureText(cut).width > width; head--) {
      if (head < 1) {
        cut = '';
        break;
      }
      cut = `${name.slice(0, Math.min(head, name.length - tail.length))}…${head > 3 ? tail : ''}`;
    }
    if (this.#cut.size > 20_000) this.#cut.clear();
    this.#cut.set(key, cut);
    return cut;
  }

  #counter(frame: Frame, { item, top }: Placed, theme: Theme): void {
    const c = this.#context;
    const scale = frame.width / frame.view.span;
    const [low, high] = [item.info?.low ?? 0, item.info?.high ?? 0];
    const [above, room] = [top + 4, item.height - 9];
    const y = (value: number) => above + room - (high > low ? ((value - low) / (high - low)) * room : 0);
    for (const { loaded, from, to } of frame.slices(item.host)) {
      const [first, end] = loaded.samples(item.row);
      if (first === end) continue;
      const [left, right] = [(from - frame.view.from) * scale, (to - frame.view.from) * scale];
      const x = (i: number) => (loaded.from + loaded.sampleStart[i]! * loaded.tick - frame.view.from) * scale;
      c.save();
      c.beginPath();
      c.rect(left, top, right - left, item.height);
      c.clip();
      const path = new Path2D();
      for (let i = first; i < end; i++) {
        const at = x(i);
        if (i > first) path.lineTo(at, y(loaded.sampleHigh[i - 1]!));
        if (i === first) path.moveTo(at, y(0 >= low && 0 <= high ? 0 : low));
        path.lineTo(at, y(loaded.sampleHigh[i]!));
        if (at > right) break;
      }
      path.lineTo(right, y(loaded.sampleHigh[end - 1]!));
      const line = new Path2D(path);
      path.lineTo(right, y(0 >= low && 0 <= high ? 0 : low));
      c.globalAlpha = 0.22;
      c.fillStyle = theme.accent;
      c.fill(path);
      c.globalAlpha = 1;
      c.strokeStyle = theme.accent;
      c.lineWidth = 1;
      c.stroke(line);
      c.restore();
    }
  }

  /** Where a spot is on the canvas, if its row is shown. */
  #place(frame: Frame, items: readonly Placed[], spot: Spot): { left: number; right: number; top: number; clip: readonly [number, number] } | undefined {
    const on = items.filter(({ item }) => item.kind === 'row' && item.host === spot.host && item.row === spot.row);
    const place = on.at(-1);
    if (!place || spot.lane >= place.item.lanes) return undefined;
    const scale = frame.width / frame.view.span;
    const left = (spot.from - frame.view.from) * scale;
    return { left, right: Math.max((spot.to - frame.view.from) * scale, left + 2), top: place.top + laneTop(spot.lane), clip: place.clip };
  }

  #outline(frame: Frame, items: readonly Placed[], spot: Spot, colour: string, width: number): void {
    const at = this.#place(frame, items, spot);
    if (!at || at.right < 0 || at.left > frame.width) return;
    const c = this.#context;
    c.save();
    c.beginPath();
    c.rect(0, at.clip[0], frame.width, at.clip[1] - at.clip[0]);
    c.clip();
    c.strokeStyle = colour;
    c.lineWidth = width;
    const [left, right] = [Math.max(at.left, -4), Math.min(at.right, frame.width + 4)];
    c.strokeRect(Math.round(left) - 0.5, at.top - 0.5, Math.max(3, Math.round(right - left)), BOX + 1);
    c.restore();
  }

  #arrow(frame: Frame, items: readonly Placed[], arrow: Arrow, theme: Theme): void {
    const [a, b] = [this.#place(frame, items, arrow.from), this.#place(frame, items, arrow.to)];
    if (!a || !b || (Math.max(a.right, b.left) < 0 || Math.min(a.right, b.left) > frame.width)) return;
    const c = this.#context;
    const [x0, y0, x1, y1] = [a.right, a.top + BOX / 2, b.left, b.top + BOX / 2];
    const bend = Math.max(16, Math.min(80, Math.abs(x1 - x0) / 2));
    c.strokeStyle = c.fillStyle = theme.text;
    c.lineWidth = 1.25;
    c.beginPath();
    c.moveTo(x0, y0);
    c.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1 - 4, y1);
    c.stroke();
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(x1 - 6, y1 - 3.5);
    c.lineTo(x1 - 6, y1 + 3.5);
    c.fill();
  }

  #area(frame: Frame, { area }: Marks, theme: Theme): void {
    if (!area) return;
    const c = this.#context;
    const scale = frame.width / frame.view.span;
    const [left, right] = [(area.from - frame.view.from) * scale, (area.to - frame.view.from) * scale];
    const shift = frame.layout.pinnedHeight - frame.scroll;
    const top = Math.max(area.top === undefined ? 0 : area.top + shift, 0);
    const bottom = area.bottom === undefined ? frame.height : area.bottom + shift;
    c.fillStyle = c.strokeStyle = theme.accent;
    c.globalAlpha = 0.14;
    c.fillRect(left, top, right - left, bottom - top);
    c.globalAlpha = 1;
    c.lineWidth = 1;
    c.strokeRect(Math.round(left) + 0.5, Math.round(top) + 0.5, Math.max(1, Math.round(right - left)), Math.round(bottom - top));
  }

  #pinnedEdge({ layout, width }: Frame, theme: Theme): void {
    if (!layout.pinned.length) return;
    this.#context.fillStyle = theme.muted;
    this.#context.fillRect(0, layout.pinnedHeight - 1, width, 1);
  }

  #line(x: number, height: number, colour: string, alpha: number): void {
    const c = this.#context;
    c.globalAlpha = alpha;
    c.fillStyle = colour;
    c.fillRect(Math.round(x), 0, 1, height);
    c.globalAlpha = 1;
  }
}

export function spotOf({ slice, item, box }: Hit): Spot {
  const [from, to] = slice.loaded.span(box);
  return { host: item.host, row: item.row, lane: slice.loaded.lane[box]!, from, to };
}

/** How busy each pixel of a strip is, from 0 to 1: the outermost events of all rows of some windows together. */
export function density(windows: readonly Loaded[], from: number, to: number, width: number): Float32Array {
  const busy = new Float32Array(Math.max(1, Math.round(width)));
  const scale = busy.length / (to - from);
  for (const l of windows) {
    for (let i = 0; i < l.start.length; i++) {
      if (l.lane[i] !== 0) continue;
      const begin = (l.from + l.start[i]! * l.tick - from) * scale;
      const end = begin + l.duration[i]! * l.tick * scale;
      const share = l.coverage[i]! / 255;
      for (let x = Math.max(0, Math.floor(begin)); x < Math.min(busy.length, end); x++) {
        busy[x]! += share * (Math.min(end, x + 1) - Math.max(begin, x));
      }
    }
  }
  const most = busy.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? busy.map((b) => b / most) : busy;
}
