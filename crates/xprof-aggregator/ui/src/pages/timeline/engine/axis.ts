/** The strips above the rows: the whole of the time with the part in view, the axis, and the steps. */

import type { Loaded, Slice } from './loaded';
import { density, type Theme } from './overlay';
import { ticks, type View } from './time';

export const AXIS = 24;
export const STEPS = 18;
export const MINIMAP = 30;

/** Steps of the first host that has them. */
export interface Steps {
  readonly row: number;
  readonly slices: readonly Slice[];
}

export function drawAxis(c: CanvasRenderingContext2D, view: View, width: number, start: number, steps: Steps | undefined, theme: Theme): void {
  c.clearRect(0, 0, width, AXIS + STEPS);
  c.font = theme.font;
  c.textBaseline = 'middle';
  const scale = width / view.span;
  const marks = ticks(view.from - start, view.span, width);
  for (let k = 0, at = marks.first; at < view.from - start + view.span; k++, at = marks.first + k * marks.step) {
    const x = Math.round((at + start - view.from) * scale);
    c.fillStyle = theme.line;
    c.fillRect(x, 0, 1, AXIS);
    c.fillStyle = theme.muted;
    c.fillText(marks.label(at), x + 4, AXIS / 2);
  }
  if (steps) drawSteps(c, view, width, steps, theme);
}

function drawSteps(c: CanvasRenderingContext2D, view: View, width: number, { row, slices }: Steps, theme: Theme): void {
  const scale = width / view.span;
  for (const { loaded, from, to } of slices) {
    const [left, right] = [(from - view.from) * scale, (to - view.from) * scale];
    const [first, end] = loaded.boxes(row);
    for (let i = first; i < end; i++) {
      if (loaded.lane[i] !== 0) continue;
      const x0 = Math.max((loaded.from + loaded.start[i]! * loaded.tick - view.from) * scale, left, 0);
      const x1 = Math.min((loaded.from + (loaded.start[i]! + loaded.duration[i]!) * loaded.tick - view.from) * scale, right, width);
      if (x1 <= x0) continue;
      c.globalAlpha = loaded.position[i]! % 2 ? 0.22 : 0.12;
      c.fillStyle = theme.accent;
      c.fillRect(x0, AXIS + 1, Math.max(1, x1 - x0), STEPS - 3);
      c.globalAlpha = 1;
      const text = loaded.count[i]! > 1 ? '' : stepText(loaded.nameOf(i), x1 - x0 - 8);
      c.fillStyle = theme.text;
      c.fillText(text, x0 + 4, AXIS + STEPS / 2);
    }
  }
}

/** As much of a step's name as there is room for: all of it, or its number. */
function stepText(name: string, room: number): string {
  const texts = [/^\d+$/.test(name) ? `Step ${name}` : name, /\d+$/.exec(name)?.[0] ?? ''];
  return texts.find((text) => text.length * 6.2 <= room) ?? '';
}

/** The strip of the whole; what changes with the view is drawn over it. */
export class Minimap {
  #key = '';
  #busy = new Float32Array(0);

  draw(c: CanvasRenderingContext2D, wholes: readonly Loaded[], extent: readonly [number, number], view: View, width: number, hits: readonly { readonly from: number }[], theme: Theme): void {
    const [from, to] = extent;
    const key = `${from} ${to} ${width} ${wholes.map((l) => l.block.header.host).join()}`;
    if (key !== this.#key) [this.#key, this.#busy] = [key, density(wholes, from, to, width) as Float32Array<ArrayBuffer>];
    c.clearRect(0, 0, width, MINIMAP);
    c.fillStyle = theme.muted;
    c.globalAlpha = 0.55;
    const floor = MINIMAP - 2;
    this.#busy.forEach((busy, x) => c.fillRect(x, floor - busy * (MINIMAP - 8), 1, busy * (MINIMAP - 8)));
    const scale = width / (to - from);
    c.globalAlpha = 1;
    c.fillStyle = theme.warn;
    let last = -1;
    for (const hit of hits) {
      const x = Math.floor((hit.from - from) * scale);
      if (x !== last) c.fillRect(x, 0, 1, 6);
      last = x;
    }
    const [left, right] = [(view.from - from) * scale, (view.from + view.span - from) * scale];
    c.globalAlpha = 0.55;
    c.fillStyle = theme.background;
    c.fillRect(0, 0, Math.max(0, left), MINIMAP);
    c.fillRect(right, 0, Math.max(0, width - right), MINIMAP);
    c.globalAlpha = 1;
    c.strokeStyle = theme.accent;
    c.lineWidth = 1.5;
    c.strokeRect(Math.max(0.75, left), 0.75, Math.max(3, Math.min(right, width - 0.75) - Math.max(0.75, left)), MINIMAP - 1.5);
  }
}
