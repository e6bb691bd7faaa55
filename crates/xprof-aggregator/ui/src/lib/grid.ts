/** What a grid shows of a table: rows in order, or groups with their sums and the rows of those that are open. */

import { FilterError, filterRows, raw, readSort, show, sortRows, type Column, type Table } from './table';

export interface Group {
  readonly key: string;
  readonly rows: readonly number[];
  /** By column; null where adding up says nothing. */
  readonly sums: readonly (number | null)[];
  /** Percent of what all groups sum up to. */
  readonly share: number;
}

/** The number of a row, or the head of a group. */
export type Entry = number | Group;

export interface Arrangement {
  readonly entries: readonly Entry[];
  /** The rows that pass the filter, in order. */
  readonly rows: readonly number[];
  /** What is wrong with the filter; then it filters nothing. */
  readonly error?: string;
}

interface Wishes {
  readonly filter: string;
  readonly sort: string;
  readonly group?: Column;
  readonly expanded: ReadonlySet<string>;
}

export function arrange(table: Table, { filter, sort, group, expanded }: Wishes): Arrangement {
  let error: string | undefined;
  let found: number[];
  try {
    found = filterRows(table, filter);
  } catch (cause) {
    if (!(cause instanceof FilterError)) throw cause;
    [found, error] = [[...table.rows.keys()], cause.message];
  }
  const rows = sortRows(table, found, sort);
  if (!group) return { entries: rows, rows, error };
  const entries = groups(table, rows, group, sort).flatMap((g): Entry[] => [g, ...(expanded.has(g.key) ? g.rows : [])]);
  return { entries, rows, error };
}

/** The largest group first, by the column of the order if its sums say something, else by the number of rows. */
function groups(table: Table, rows: readonly number[], by: Column, sort: string): Group[] {
  const at = table.columns.indexOf(by);
  const members = new Map<string, number[]>();
  for (const row of rows) {
    const key = raw(table.rows[row]![at]!);
    const list = members.get(key);
    if (list) list.push(row);
    else members.set(key, [row]);
  }
  const first = readSort(sort)[0]?.id;
  const size = table.columns.findIndex((c) => c.sums && c.kind === 'number' && (c.id === first || (!first && /time|duration/i.test(c.id))));
  const found = [...members].map(([key, list]) => {
    const ofGroup = sums(table, list);
    return { key, rows: list, sums: ofGroup, size: size >= 0 ? Number(ofGroup[size]) : list.length };
  });
  const whole = found.reduce((sum, g) => sum + g.size, 0);
  return found.sort((a, b) => b.size - a.size).map(({ size, ...g }) => ({ ...g, share: whole ? (size / whole) * 100 : 0 }));
}

export function sums(table: Table, rows: Iterable<number>): (number | null)[] {
  const totals = table.columns.map((c): number | null => (c.sums ? 0 : null));
  const places = [...table.columns.keys()].filter((at) => table.columns[at]!.sums);
  for (const row of rows) {
    for (const at of places) {
      const cell = table.rows[row]![at];
      if (typeof cell === 'number') totals[at]! += cell;
    }
  }
  return totals;
}

/** Wide enough for the title and for the first cells. */
export function columnWidth(column: Column, table: Table): number {
  const at = table.columns.indexOf(column);
  const longest = Math.max(0, ...table.rows.slice(0, 60).map((row) => show(row[at]!, column).length));
  const title = column.title.length + (column.unit ? column.unit.length + 1 : 0);
  const most = column.kind === 'text' ? 320 : 168;
  return Math.round(Math.max(64, Math.min(most, Math.max(longest * 7, Math.min(title, 22) * 7.4 + 20) + 18)));
}
