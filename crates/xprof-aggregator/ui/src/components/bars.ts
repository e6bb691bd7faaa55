/** Draws stacked bars on a canvas: bars with patterns, axis, median, marks. It keeps nothing. */

import { ink } from '../lib/categories';
import * as format from '../lib/format';
import type { Series } from './StackedBars.svelte';

/** Room for the axis. */
export const LEFT = 56;
const BOTTOM = 36;
const TOP = 14;

export interface Bars {
  readonly width: number;
  readonly height: number;
  readonly labels: readonly string[];
  readonly series: readonly Series[];
  readonly totals: readonly number[];
  readonly unit: string;
  readonly axis: string;
  readonly median?: number;
  readonly outliers: readonly number[];
  readonly marked: number;
  readonly chosen: number;
  readonly isDark: boolean;
}

/** Lines in a cell of six pixels, so that neighbours differ in more than colour. The first series has none. */
const LINES: readonly (readonly (readonly [number, number, number, number])[])[] = [
  [], [[0, 6, 6, 0]], [[0, 0, 6, 6]], [[0, 3, 6, 3]], [[3, 0, 3, 6]], [[2, 3, 4, 3]], [[0, 6, 6, 0], [0, 0, 6, 6]], [[0, 3, 6, 3], [3, 0, 3, 6]],
];

/** The pattern of a series as a style sheet takes it. */
export function pattern(at: number): string {
  const lines = LINES[at % LINES.length]!.map(([a, b, c, d]) => `<path d="M${a} ${b}L${c} ${d}" stroke="#fff" stroke-opacity=".55"/>`).join('');
  return lines ? `url("data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="6" height="6">${lines}</svg>`)}")` : 'none';
}

export function drawBars(canvas: HTMLCanvasElement, b: Bars): void {
  const scale = devicePixelRatio;
  canvas.width = b.width * scale;
  canvas.height = b.height * scale;
  canvas.style.width = `${b.width}px`;
  canvas.style.height = `${b.height}px`;
  const g = canvas.getContext('2d');
  if (!g) return;
  const style = getComputedStyle(canvas);
  const colour = (name: string) => resolve(style.getPropertyValue(name), b.isDark);
  const [text, line, muted, accent, bg] = ['--text', '--line', '--muted', '--accent', '--bg'].map(colour) as [string, string, string, string, string];
  g.scale(scale, scale);
  g.clearRect(0, 0, b.width, b.height);
  g.font = `11px ${style.fontFamily}`;

  const most = Math.max(...b.totals, b.median ?? 0, Number.MIN_VALUE);
  const ticks = nice(most);
  const top = ticks.at(-1)!;
  const base = b.height - BOTTOM;
  const y = (value: number) => base - (value / top) * (base - TOP);
  const slot = (b.width - LEFT) / b.labels.length;

  g.textAlign = 'right';
  g.textBaseline = 'middle';
  for (const tick of ticks) {
    g.fillStyle = line;
    g.fillRect(LEFT, Math.round(y(tick)), b.width - LEFT, 1);
    g.fillStyle = muted;
    g.fillText(format.number(tick), LEFT - 6, y(tick));
  }
  g.textAlign = 'left';
  g.fillText(b.unit, 0, TOP - 6);

  const gap = slot > 8 ? Math.min(8, slot * 0.2) : slot > 3 ? 1 : 0;
  const fills = b.series.map(({ category }, at) => fill(g, b.isDark ? category.dark : category.light, at));
  for (const at of b.labels.keys()) {
    let from = 0;
    const x = LEFT + at * slot;
    if (at === b.marked || at === b.chosen) {
      g.fillStyle = at === b.chosen ? colour('--selected') : colour('--hover');
      g.fillRect(x, TOP, slot, base - TOP);
    }
    b.series.forEach((series, s) => {
      const value = series.values[at] ?? 0;
      if (!(value > 0)) return;
      const [low, high] = [y(from), y(from + value)];
      for (const paint of fills[s]!) {
        g.fillStyle = paint;
        g.fillRect(x + gap / 2, high, Math.max(0.75, slot - gap), low - high);
      }
      // Neighbours are parted by the background.
      if (low - high > 4) {
        g.fillStyle = bg;
        g.fillRect(x + gap / 2, high, slot - gap, 1);
      }
      from += value;
    });
    if (b.outliers.includes(at)) {
      g.fillStyle = text;
      const [cx, cy] = [x + slot / 2, y(from) - 3];
      g.beginPath();
      g.moveTo(cx, cy);
      g.lineTo(cx - 4, cy - 6);
      g.lineTo(cx + 4, cy - 6);
      g.fill();
    }
  }
  if (b.chosen >= 0) {
    g.strokeStyle = accent;
    g.lineWidth = 2;
    g.strokeRect(LEFT + b.chosen * slot + 1, TOP, Math.max(2, slot - 2), base - TOP);
  }
  if (b.median !== undefined && Number.isFinite(b.median)) {
    g.strokeStyle = text;
    g.lineWidth = 1;
    g.setLineDash([4, 3]);
    g.beginPath();
    g.moveTo(LEFT, y(b.median));
    g.lineTo(b.width, y(b.median));
    g.stroke();
    g.setLineDash([]);
    label(g, `median ${format.number(b.median)}`, b.width - 4, y(b.median) - 8, text, bg);
  }
  drawLabels(g, b, slot, base, muted);
}

function drawLabels(g: CanvasRenderingContext2D, b: Bars, slot: number, base: number, colour: string): void {
  g.fillStyle = colour;
  g.textAlign = 'center';
  g.textBaseline = 'top';
  const widest = Math.max(...b.labels.map((l) => g.measureText(l).width)) + 12;
  const every = Math.max(1, Math.ceil(widest / slot));
  for (let at = 0; at < b.labels.length; at += every) g.fillText(b.labels[at]!, LEFT + (at + 0.5) * slot, base + 5);
  g.fillText(b.axis, LEFT + (b.width - LEFT) / 2, base + 20);
}

/** Text that is read over bars. */
function label(g: CanvasRenderingContext2D, words: string, right: number, middle: number, colour: string, behind: string): void {
  const width = g.measureText(words).width + 8;
  g.fillStyle = behind;
  g.fillRect(right - width, middle - 7, width, 14);
  g.fillStyle = colour;
  g.textAlign = 'right';
  g.textBaseline = 'middle';
  g.fillText(words, right - 4, middle);
}

/** The colour, then its pattern. */
function fill(g: CanvasRenderingContext2D, colour: string, at: number): (string | CanvasPattern)[] {
  const lines = LINES[at % LINES.length]!;
  const tile = new OffscreenCanvas(6, 6);
  const t = tile.getContext('2d');
  if (!lines.length || !t) return [colour];
  t.strokeStyle = ink(colour);
  t.globalAlpha = 0.35;
  for (const [a, b, c, d] of lines) {
    t.beginPath();
    t.moveTo(a, b);
    t.lineTo(c, d);
    t.stroke();
  }
  const made = g.createPattern(tile, 'repeat');
  return made ? [colour, made] : [colour];
}

/** `light-dark(a, b)`, which canvases do not know. */
function resolve(value: string, isDark: boolean): string {
  const pair = /light-dark\(([^,]+),([^)]+)\)/.exec(value);
  return pair ? pair[isDark ? 2 : 1]!.trim() : value;
}

/** Round values from zero to at least `most`. */
function nice(most: number): number[] {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => s >= rough) ?? power * 10;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
}
