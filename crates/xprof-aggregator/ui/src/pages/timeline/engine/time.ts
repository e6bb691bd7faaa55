/** Times: picoseconds from an origin as doubles inside the page, nanoseconds of the session in addresses. */

const UNITS = [
  ['s', 1e12],
  ['ms', 1e9],
  ['µs', 1e6],
  ['ns', 1e3],
  ['ps', 1],
] as const;

/** A length of time in the unit that leaves one to four digits before the point. */
export function duration(ps: number, digits = 4): string {
  const size = Math.abs(ps);
  const [unit, scale] = UNITS.find(([, scale]) => size >= scale) ?? UNITS[4];
  return `${trim(ps / scale, digits)} ${unit}`;
}

function trim(value: number, digits: number): string {
  const text = value.toPrecision(Math.max(digits, Math.trunc(Math.abs(value)).toString().length));
  return text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : String(Number(text));
}

/** Marks of a time axis. */
export interface Ticks {
  readonly first: number;
  readonly step: number;
  /** Text of the mark at a time. */
  readonly label: (ps: number) => string;
}

/** Marks at round times, at least `minPx` apart. */
export function ticks(fromPs: number, spanPs: number, widthPx: number, minPx = 96): Ticks {
  const rough = (spanPs / Math.max(widthPx, 1)) * minPx;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) ?? 10 * power;
  const largest = Math.max(Math.abs(fromPs), Math.abs(fromPs + spanPs));
  const [unit, scale] = UNITS.find(([, scale]) => largest >= scale && step >= scale / 1e4) ?? UNITS.find(([, scale]) => step >= scale) ?? UNITS[4];
  const decimals = Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9));
  return { first: Math.ceil(fromPs / step) * step, step, label: (ps) => `${(ps / scale).toFixed(decimals)} ${unit}` };
}

/** Of the address: `start~end` in ns of the session. */
export function writeSpan(fromPs: number, toPs: number, origin: bigint): string {
  return `${nanoseconds(origin + BigInt(Math.round(fromPs)))}~${nanoseconds(origin + BigInt(Math.round(toPs)))}`;
}

export function readSpan(text: string | undefined, origin: bigint): [number, number] | undefined {
  const parts = (text ?? '').split('~').map(picoseconds);
  const [from, to] = parts;
  if (parts.length !== 2 || from === undefined || to === undefined || to <= from) return undefined;
  return [Number(from - origin), Number(to - origin)];
}

function nanoseconds(ps: bigint): string {
  const sign = ps < 0n ? '-' : '';
  const size = ps < 0n ? -ps : ps;
  const rest = (size % 1000n).toString().padStart(3, '0').replace(/0+$/, '');
  return `${sign}${size / 1000n}${rest && `.${rest}`}`;
}

function picoseconds(ns: string): bigint | undefined {
  const match = /^(-?)(\d{1,19})(?:\.(\d{1,3})\d*)?$/.exec(ns.trim());
  if (!match) return undefined;
  const size = BigInt(match[2]!) * 1000n + BigInt((match[3] ?? '').padEnd(3, '0'));
  return match[1] ? -size : size;
}

/** The view: what lies between the left and the right edge. */
export interface View {
  readonly from: number;
  readonly span: number;
}

/** Nobody needs to see less. */
export const MIN_SPAN_PS = 20;

/** Keeps a view near the trace: at most a tenth of empty space on either side. */
export function clamp({ from, span }: View, min: number, max: number): View {
  const whole = Math.max(max - min, MIN_SPAN_PS);
  span = Math.min(Math.max(span, MIN_SPAN_PS), whole * 1.04);
  const margin = Math.max(whole * 0.02, span * 0.1);
  return { from: Math.min(Math.max(from, min - margin), max + margin - span), span };
}

/** Zooms by a factor around a place of the view, 0 at the left edge and 1 at the right. */
export function zoom({ from, span }: View, factor: number, at: number): View {
  const next = Math.max(span * factor, MIN_SPAN_PS);
  return { from: from + at * (span - next), span: next };
}

/** A window that the server is asked for: `null` stands for the whole trace. */
export type Window = { readonly begin: bigint; readonly length: bigint } | null;

/**
 * The window that serves a view: a power of two long, at a multiple of half its length, at least twice as long as the view and
 * centred on it as well as may be. Neighbouring views share it, in this page and in the server's cache.
 */
export function windowOf(view: View, origin: bigint, min: bigint, max: bigint): Window {
  const length = 1n << BigInt(Math.max(10, Math.ceil(Math.log2(view.span * 2))));
  if (length >= max - min) return null;
  const centre = origin + BigInt(Math.round(view.from + view.span / 2));
  return { begin: nearest(centre - length / 2n, length / 2n), length };
}

/** The neighbour that a view which moves on needs next, if it is past the middle of its window by a quarter of the way. */
export function neighbour(view: View, window: Window, origin: bigint): Window {
  if (!window) return null;
  const centre = origin + BigInt(Math.round(view.from + view.span / 2));
  const off = centre - (window.begin + window.length / 2n);
  if (off > window.length / 8n) return { ...window, begin: window.begin + window.length / 2n };
  if (off < -window.length / 8n) return { ...window, begin: window.begin - window.length / 2n };
  return null;
}

function nearest(value: bigint, step: bigint): bigint {
  const shifted = value + step / 2n;
  const floor = shifted / step - (shifted % step < 0n ? 1n : 0n);
  return floor < 0n ? 0n : floor * step;
}

export function windowKey(window: Window): string {
  return window ? `${window.begin}+${window.length}` : 'all';
}
