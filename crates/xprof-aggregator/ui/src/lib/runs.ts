/** What the server says about runs, and the search over them. */

import { filterRows, type Column, type Table } from './table';

export interface RunInfo {
  readonly name: string;
  readonly hosts: number;
  readonly bytes: number;
  readonly modified_ms: number;
}

const column = (id: string, kind: Column['kind'] = 'number'): Column => ({ id, title: id, unit: '', kind, sums: false, hidden: false });
const COLUMNS = [column('name', 'text'), column('hosts'), column('bytes'), column('date', 'text')];

/** The runs that pass a filter, in the same grammar as in tables: `train hosts:>4 date:2026-03`. */
export function searchRuns(runs: readonly RunInfo[], filter: string): RunInfo[] {
  const rows = runs.map((run) => [run.name, run.hosts, run.bytes, run.modified_ms ? new Date(run.modified_ms).toISOString() : '']);
  const table: Table = { columns: COLUMNS, rows, props: {} };
  try {
    return filterRows(table, filter).map((at) => runs[at]!);
  } catch {
    // Half of a pattern matches nothing yet.
    return [];
  }
}
