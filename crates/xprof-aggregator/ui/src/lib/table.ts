/** Tables: what the server's DataTable answers become, and how they are filtered, sorted and written out. */

import * as format from './format';

export type Cell = string | number | boolean | null;
export type Row = readonly Cell[];

export interface Column {
  readonly id: string;
  readonly title: string;
  /** Stands in the header once. */
  readonly unit: string;
  readonly kind: 'text' | 'number' | 'percent' | 'flag';
  /** Adding it up over rows says something. */
  readonly sums: boolean;
  /** Empty or without meaning for a reader until asked for. */
  readonly hidden: boolean;
}

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** What an answer says beside its rows. */
  readonly props: Readonly<Record<string, string>>;
}

/** One table of an answer, as the reference's clients know it. */
export interface DataTable {
  readonly cols: readonly { id: string; label: string; type: string }[];
  readonly rows: readonly { c: readonly ({ v: Cell } | null)[] }[];
  readonly p?: Readonly<Record<string, string>>;
}

/** Tools that write percentages as such, as do the waiting times of steps; the others write fractions. */
const HUNDREDTHS = new Set(['hlo_stats', 'kernel_stats']);

export function readTable(answer: DataTable, tool: string): Table {
  const kept = answer.cols.map((col, at) => ({ col, at })).filter(({ col }) => col.id !== 'tooltip');
  const percents = new Set(kept.filter(({ col }) => isPercent(col)).map(({ at }) => at));
  const rows = answer.rows.map(({ c }) =>
    kept.map(({ at }): Cell => {
      const value = c[at]?.v ?? null;
      if (percents.has(at) && typeof value === 'number') return value * (HUNDREDTHS.has(tool) || /^infeedPercent/.test(answer.cols[at]!.id) ? 1 : 100);
      return typeof value === 'string' ? plainText(value) : value;
    }),
  );
  const columns = kept.map(({ col, at }, place): Column => {
    const unit = percents.has(at) ? '%' : unitOf(col.label);
    return {
      id: col.id,
      title: col.id === 'stepnum' ? 'Step' : titleOf(col.label || col.id),
      unit,
      kind: percents.has(at) ? 'percent' : col.type === 'number' ? 'number' : col.type === 'boolean' ? 'flag' : 'text',
      sums: col.type === 'number' && /occurrences|count|total|self|^size/i.test(col.id) && !/cumulative|avg|rate|per_core/i.test(col.id),
      hidden: rows.length > 0 && rows.every((row) => isBlank(row[place]!)),
    };
  });
  return { columns, rows, props: answer.p ?? {} };
}

const isBlank = (cell: Cell) => cell === null || cell === '' || cell === 0;
const isPercent = (col: { id: string; label: string; type: string }) => col.type === 'number' && /%|percent/i.test(col.label);

/** `Total time (us) → Total time`. */
function titleOf(label: string): string {
  const title = label.replace(/\s*\((?:in )?(%|[μun]s|ms|as %[^)]*|[A-Za-z]+\/[A-Za-z]+|J)\)\s*$/, '').replace(/^#\s*/, '').replace(/\s+%$/, '');
  return title.startsWith('%') ? title.replace(/^%\s*/, '').replace(/^./, (c) => c.toUpperCase()) : title;
}

function unitOf(label: string): string {
  const unit = /\((?:in )?([^()]+)\)\s*$/.exec(label)?.[1] ?? '';
  return unit === 'us' || unit === 'μs' ? 'µs' : /^(ms|ns|J|[A-Za-z]+\/[A-Za-z]+)$/.test(unit) ? unit : '';
}

/** Some answers wrap a text in markup for the reference's page, with the whole text as its title. */
function plainText(value: string): string {
  if (!value.startsWith('<div class=')) return value;
  const title = /^<div class='[^']*' title='([^']*)'/.exec(value)?.[1] ?? value.replace(/<[^>]*>/g, '');
  return title.replace(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => ({ lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' })[name] ?? '').trim();
}

/** A cell as it is shown. */
export function show(cell: Cell, column: Column): string {
  if (cell === null) return '–';
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  if (typeof cell === 'string') return cell;
  return column.kind === 'percent' ? format.percent(cell) : format.number(cell);
}

/** A cell as it is copied: every digit. */
export function raw(cell: Cell): string {
  return cell === null ? '' : String(cell);
}

// === filter ===

type Test = (cell: Cell) => boolean;

export class FilterError extends Error {}

/** Splits `fusion category:="loop fusion" total:>10` at blanks outside of quotes. */
export function words(filter: string): string[] {
  return filter.match(/(?:"[^"]*"?|\/(?:\\.|[^/\\])*\/|[^\s"])+/g) ?? [];
}

/** The column and the rest of `column:rest`; the column is named by its id. */
export function splitWord(word: string, columns: readonly Column[]): { column?: string; rest: string } {
  const at = word.indexOf(':');
  const column = at > 0 ? columns.find((c) => c.id.toLowerCase() === word.slice(0, at).toLowerCase()) : undefined;
  return column ? { column: column.id, rest: word.slice(at + 1) } : { rest: word };
}

/**
 * Rows that pass every word of a filter.
 *
 * ```text
 * fusion              some cell contains it
 * category:=copy      the cell equals      !copy      it does not contain it      /^cop/      it matches
 * total_time:>10      >= < <=              10..20     between, both included
 * ```
 */
export function filterRows(table: Table, filter: string): number[] {
  const tests = words(filter).map((word) => rowTest(word, table.columns));
  const found: number[] = [];
  table.rows.forEach((row, at) => {
    if (tests.every((test) => test(row))) found.push(at);
  });
  return found;
}

function rowTest(word: string, columns: readonly Column[]): (row: Row) => boolean {
  const { column, rest } = splitWord(word, columns);
  if (column) {
    const [at, test] = [columns.findIndex((c) => c.id === column), testOf(unquoted(rest))];
    return (row) => test(row[at]!);
  }
  // Over all columns, "not" means that none has it.
  const [isNot, test] = rest.startsWith('!') ? [true, testOf(unquoted(rest.slice(1)))] : [false, testOf(unquoted(rest))];
  return (row) => row.some(test) !== isNot;
}

const ALWAYS: Test = () => true;

function testOf(text: string): Test {
  const range = /^(-?[\d.]+)\.\.(-?[\d.]+)$/.exec(text);
  if (range) return (cell) => typeof cell === 'number' && cell >= Number(range[1]) && cell <= Number(range[2]);
  const bound = /^(>=|<=|>|<)\s*(-?[\d.]+)$/.exec(text);
  if (bound) return compare(bound[1]!, Number(bound[2]));
  const pattern = /^\/(.*)\/$/.exec(text);
  if (pattern) return matches(pattern[1]!);
  if (text.startsWith('=')) {
    const wanted = unquoted(text.slice(1)).toLowerCase();
    return (cell) => lower(cell) === wanted;
  }
  if (text.startsWith('!')) {
    const has = testOf(unquoted(text.slice(1)));
    return (cell) => !has(cell);
  }
  const wanted = text.toLowerCase();
  return wanted ? (cell) => lower(cell).includes(wanted) : ALWAYS;
}

function compare(sign: string, bound: number): Test {
  const holds = { '>': (n: number) => n > bound, '>=': (n: number) => n >= bound, '<': (n: number) => n < bound, '<=': (n: number) => n <= bound }[sign]!;
  return (cell) => typeof cell === 'number' && holds(cell);
}

function matches(source: string): Test {
  let pattern: RegExp;
  try {
    pattern = new RegExp(source, 'i');
  } catch (error) {
    throw new FilterError(`/${source}/ is not a pattern: ${(error as Error).message}`);
  }
  return (cell) => pattern.test(raw(cell));
}

const lower = (cell: Cell) => raw(cell).toLowerCase();
const unquoted = (text: string) => text.replace(/^([=!]?)"([^"]*)"?$/, '$1$2');

// === sort ===

/** `-total_time,rank`: by total time, the largest first, then by rank. */
export function readSort(sort: string): { id: string; down: boolean }[] {
  return sort.split(',').filter(Boolean).map((key) => (key.startsWith('-') ? { id: key.slice(1), down: true } : { id: key, down: false }));
}

export function sortRows(table: Table, rows: readonly number[], sort: string): number[] {
  const keys = readSort(sort)
    .map(({ id, down }) => ({ at: table.columns.findIndex((c) => c.id === id), sign: down ? -1 : 1 }))
    .filter(({ at }) => at >= 0);
  if (!keys.length) return [...rows];
  return [...rows].sort((a, b) => {
    for (const { at, sign } of keys) {
      const order = sign * order2(table.rows[a]![at]!, table.rows[b]![at]!);
      if (order) return order;
    }
    return a - b;
  });
}

const collator = new Intl.Collator('en', { numeric: true });

function order2(a: Cell, b: Cell): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(raw(a), raw(b));
}

// === output ===

export function toCsv(columns: readonly Column[], rows: Iterable<Row>): string {
  const field = (text: string) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = columns.map((c) => field(c.unit ? `${c.title} (${c.unit})` : c.title)).join(',');
  return [head, ...Array.from(rows, (row) => row.map((cell) => field(raw(cell))).join(','))].join('\r\n') + '\r\n';
}

/** A list of objects, by the ids of columns. */
export function toJson(columns: readonly Column[], rows: Iterable<Row>): string {
  return JSON.stringify(Array.from(rows, (row) => Object.fromEntries(columns.map((c, at) => [c.id, row[at]]))), undefined, 1);
}

export function toTsv(rows: Iterable<Row>): string {
  return Array.from(rows, (row) => row.map((cell) => raw(cell).replace(/[\t\n]/g, ' ')).join('\t')).join('\n');
}
