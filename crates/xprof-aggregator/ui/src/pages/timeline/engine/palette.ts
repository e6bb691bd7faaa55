/** Colours of boxes: those of the table of categories, and quiet ones for what has no category, such as host threads. */

import { CATEGORIES, categoryOf, ink } from '../../../lib/categories';

interface Colour {
  readonly light: string;
  readonly dark: string;
}

/** All as strong against the background as the eye needs to tell a mark, none as strong as a category. */
const QUIET: readonly Colour[] = [
  { light: '#7688a3', dark: '#64748c' },
  { light: '#8592a8', dark: '#707d92' },
  { light: '#6b8099', dark: '#5d7186' },
  { light: '#7d879c', dark: '#6a7488' },
];

const COLOURS: readonly Colour[] = [...CATEGORIES, ...QUIET];
const PLACES = new Map<string, number>(CATEGORIES.map((category, place) => [category.key, place]));

/** Marks a box as less important than others: set by a search on what it does not find. */
export const DIM = 0x80;

/** Marks a group: it has no gap to its neighbour. */
export const GROUP = 0x40;

/** Rows of a device that repeat its ops at another level. */
const QUIET_ROWS = /^(Steps|XLA Modules|XLA TraceMe|Framework|Source|Launch Stats|Sparse Core Steps)/;

/** Whether the names on a row are those of ops and kernels, so that a category may be read from them. */
export function namesOps(process: string, row: string): boolean {
  return process.includes('/device:') && !QUIET_ROWS.test(row);
}

/** The server's word for the category of an op of which the trace tells none. */
export const UNTOLD = 'op';

/** Place of a colour in the palette. */
export function colourOf(name: string, category: string | undefined, isOp: boolean): number {
  if (category !== undefined || isOp) return PLACES.get(categoryOf(category === undefined || category === UNTOLD ? name : category).key)!;
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) | 0;
  return CATEGORIES.length + (Math.imul(hash, 0x9e3779b1) >>> 30);
}

/** The colours of one theme, ready for each renderer. */
export interface Palette {
  readonly css: readonly string[];
  /** For text on each. */
  readonly ink: readonly string[];
  /** Red, green and blue of each from 0 to 1. */
  readonly rgb: Float32Array;
  readonly background: readonly [number, number, number];
}

export function palette(isDark: boolean, background: string): Palette {
  const css = COLOURS.map((colour) => (isDark ? colour.dark : colour.light));
  return { css, ink: css.map(ink), rgb: new Float32Array(css.flatMap(channels)), background: channels(background) };
}

function channels(colour: string): [number, number, number] {
  const at = (i: number) => parseInt(colour.slice(i, i + 2), 16) / 255;
  return [at(1), at(3), at(5)];
}

/** How much of a colour is left over its background: a group of short events is as strong as it is busy. */
export function strength(coverage: number, dim: boolean): number {
  return (0.35 + 0.65 * (coverage / 255)) * (dim ? 0.22 : 1);
}
