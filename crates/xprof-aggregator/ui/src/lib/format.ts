/** Numbers and names as people read them: four significant digits, a fixed point, never an exponent in the usual range. */

/** `1234.5678 → 1 235`, `0.01234567 → 0.01235`. Nothing measured is a dash. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-6) return value.toExponential(2);
  // Whole numbers are counts: all their digits mean something.
  if (Number.isInteger(value)) return grouped(String(size), value);
  const digits = Math.max(0, 3 - Math.floor(Math.log10(size)));
  const text = size.toFixed(Math.min(digits, 9));
  return grouped(text.includes('.') ? text.replace(/\.?0+$/, '') : text, value);
}

/** Narrow blanks between thousands, which every language reads alike. */
function grouped(text: string, signed: number): string {
  const [whole = '', fraction] = text.split('.');
  const parts = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, '\u202f') : whole;
  return (signed < 0 ? '−' : '') + parts + (fraction ? `.${fraction}` : '');
}

/** A share in hundredths: `12.34 → 12.3%`. */
export function percent(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return `${value !== 0 && Math.abs(value) < 0.05 ? '<0.1' : value.toFixed(1)}%`;
}

const TIMES = [['s', 1e9], ['ms', 1e6], ['µs', 1e3], ['ns', 1]] as const;

export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return '–';
  const [unit, size] = TIMES.find(([, size]) => Math.abs(ns) >= size) ?? ['ns', 1];
  return `${number(ns / size)} ${unit}`;
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(value: number): string {
  const step = value > 0 ? Math.min(Math.floor(Math.log2(value) / 10), SIZES.length - 1) : 0;
  return `${number(value / 1024 ** step)} ${SIZES[step]}`;
}

/** A moment in the reader's time zone: `2026-01-31 14:05`. */
export function moment(ms: number): string {
  if (!ms) return '–';
  const d = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
}

/** A change against a baseline, with sign and arrow, so that its colour is not alone. */
export function delta(change: number): string {
  if (!Number.isFinite(change)) return '';
  if (Math.abs(change) < 0.0005) return '= 0%';
  return `${change > 0 ? '▲ +' : '▼ −'}${percent(Math.abs(change) * 100)}`;
}

export function plural(n: number, word: string): string {
  return `${number(n)} ${word}${n === 1 ? '' : 's'}`;
}

/** Cuts in the middle, so that the number at the end of an op's name stays. */
export function middle(text: string, length: number): string {
  if (text.length <= length) return text;
  const tail = Math.floor((length - 1) / 3);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(-tail)}`;
}
