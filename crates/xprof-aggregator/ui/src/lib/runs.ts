/** What the server says about runs, and the search over them. */

import { filterRows, type Column, type Table } from './table';

export interface RunInfo {
  readonly name: string;
  readonly hosts: number;
  readonly bytes: number;
  readonly modified_ms: number;
  /** What only a trace tells is null until the server read one of the run. */
  readonly device: string | null;
  readonly duration_ms: number | null;
}

/** Said in place of what is null. */
export const NOT_READ = 'not read yet';

export function stateOf(run: RunInfo): string {
  return !run.hosts ? 'no trace' : run.device === null ? NOT_READ : 'read';
}

const column = (id: string, kind: Column['kind'] = 'number'): Column => ({ id, title: id, unit: '', kind, sums: false, hidden: false });
const COLUMNS = [column('name', 'text'), column('hosts'), column('bytes'), column('date', 'text'), column('device', 'text'), column('duration'), column('state', 'text')];

/** The runs that pass a filter, in the same grammar as in tables: `train hosts:>4 date:2026-03 duration:>500` (in ms). */
export function searchRuns(runs: readonly RunInfo[], filter: string): RunInfo[] {
  const rows = runs.map((run) => [
    run.name, run.hosts, run.bytes, run.modified_ms ? new Date(run.modified_ms).toISOString() : '', run.device ?? '', run.duration_ms ?? '', stateOf(run),
  ]);
  const table: Table = { columns: COLUMNS, rows, props: {} };
  try {
    return filterRows(table, filter).map((at) => runs[at]!);
  } catch {
    // Half of a pattern matches nothing yet.
    return [];
  }
}
