/** Asking a tool: which hosts, and which tables its answer holds. */

import { plural } from './format';
import type { Load } from './load.svelte';
import { readTable, type DataTable, type Table } from './table';

const ALL_HOSTS = 'ALL_HOSTS';

/** The parameters that name hosts to a tool; none means all of the run. */
export function ofHosts(hosts: readonly string[]): { readonly host: string; readonly among?: string } {
  return hosts.length === 1 ? { host: hosts[0]! } : { host: ALL_HOSTS, among: hosts.length ? hosts.join(',') : undefined };
}

/** What the server does until an answer is there. */
export function reading(hosts: readonly string[], list: Load<{ hostname: string }[]>): string {
  const n = hosts.length || list.body?.length || 0;
  return n ? `The server reads ${plural(n, 'trace')}` : 'The server reads the traces';
}

/** The tables of an answer that have columns. */
export function tablesOf(answer: unknown, tool: string): Table[] {
  const list = Array.isArray(answer) ? answer : [answer];
  return list.filter((t): t is DataTable => !!t && Array.isArray((t as DataTable).cols) && (t as DataTable).cols.length > 0).map((t) => readTable(t, tool));
}

/** What the server remarks about its answer: tables of severity and message. */
export function remarksOf(tables: readonly Table[]): { severity: string; message: string }[] {
  return tables
    .filter(isRemarks)
    .flatMap((t) => t.rows.map(([severity, message]) => ({ severity: String(severity).toLowerCase(), message: String(message) })));
}

export function isRemarks(table: Table): boolean {
  return table.columns[0]?.id === 'severity' && table.columns[1]?.id === 'message';
}
