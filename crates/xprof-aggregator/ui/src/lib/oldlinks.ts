/** Addresses of the reference's pages, and the views that they become here. */

import { FIRST_PAGE, hostsKey, type Place } from './url';

export interface KnownPage {
  readonly key: string;
  readonly tools: readonly string[];
}

/** Old keys that only got another name. */
const RENAMED: Readonly<Record<string, string>> = {
  session_path: 'path',
  base_session_id: 'vs',
  baseSessionID: 'vs',
  diff_base: 'vs',
  module_name: 'm',
  moduleName: 'm',
  node_name: 'op',
  opName: 'op',
  graph_width: 'd',
};

/**
 * The view that an old address means, none if it is no old address.
 *
 * ```text
 * ?tool=graph_viewer&run=r&module_name=m(1)&node_name=op&graph_width=2    → r/r/graph?d=2&m=m(1)&op=op
 * overview_page?run=r&tag=overview_page&host=ALL_HOSTS                    → r/r/overview
 * roofline_model/r?run=r&tag=roofline_model                               → r/r/roofline
 * ```
 */
export function fromOld(address: string, pages: readonly KnownPage[]): Place | undefined {
  const { pathname, searchParams: old } = new URL(address, 'http://root/');
  const [first = '', second = ''] = pathname.slice(1).split('/').map(decodeURIComponent);
  const tool = old.get('tool') || old.get('tag') || (first === 'index.html' ? '' : first);
  const session = (old.get('session_path') ?? '').replace(/\/+$/, '');
  const run = old.get('run') || (first === tool ? second : '') || session.split('/').at(-1) || '';
  if (!run) return undefined;
  const page = pages.find((p) => p.tools.includes(tool) || (p.key === 'timeline' && tool.startsWith('trace_viewer')));
  const view: Record<string, string> = {};
  for (const [from, to] of Object.entries(RENAMED)) if (old.get(from)) view[to] = old.get(from)!;
  // A directory of sessions and one of its sessions name that session.
  if (old.get('run_path')) view['path'] = `${old.get('run_path')!.replace(/\/+$/, '')}/${run}`;
  const hosts = (old.get('hosts') || old.get('host') || '').split(',').filter((host) => host && host !== 'ALL_HOSTS');
  if (hosts.length) view['h'] = hostsKey(hosts);
  else if (old.get('host_id')) view['h'] = `#${old.get('host_id')}`;
  const filter = filterOf(old);
  if (filter) view['f'] = filter;
  return { run, page: page?.key ?? FIRST_PAGE, view };
}

/** What the reference wrote into the filter boxes of its tables. */
function filterOf(old: URLSearchParams): string {
  const is = (column: string, value: string | null | undefined) => (value ? `${column}:="${value}"` : '');
  const program = /\((\d+)\)$/.exec(old.get('program_id') ?? '')?.[1] ?? old.get('program_id');
  return [
    is('hlo_op_name', old.get('hlo_op_name')),
    old.get('hlo_op_name') ? is('program_id', program) : '',
    is('operation', old.get('roofline_op_name')),
  ]
    .filter(Boolean)
    .join(' ');
}
