/** Asking a tool: which hosts, and which tables its answer holds. */

import { readTable, type DataTable, type Table } from './table';

export const ALL_HOSTS = 'ALL_HOSTS';

/** Tools about the whole run take one host or all of them. */
export function hostOf(hosts: readonly string[]): string {
  return hosts.length === 1 ? hosts[0]! : ALL_HOSTS;
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
