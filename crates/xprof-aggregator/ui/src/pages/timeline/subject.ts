/** An event as the inspector shows it: its numbers, its arguments, and the ways to where else it is seen. */

import { categoryOf } from '../../lib/categories';
import type { Fact, Link, Subject } from '../../lib/shell.svelte';
import type { Changes } from '../../lib/url';
import type { EventPlace } from './engine/block';
import { UNTOLD } from './engine/palette';
import { duration } from './engine/time';
import type { Model } from './model.svelte';
import type { Selection } from './selection.svelte';

/** Shown elsewhere than in the list of arguments. */
const APART = ['source', 'source_stack', 'hlo_module', 'hlo_op', 'long_name', 'hlo_text'];

type Event = NonNullable<Selection['event']>;

/** Keeps numbers exact and readable: `47244640272` → `47,244,640,272`. */
const shown = (value: string | number) => (typeof value === 'number' ? value.toLocaleString('en', { maximumSignificantDigits: 17 }) : value);

export function eventSubject(model: Model, event: Event): Subject {
  const host = model.data.hosts.find(({ index }) => index === event.at.host);
  const row = host?.rows[event.row];
  const args = new Map(event.args);
  const text = (name: string) => (args.has(name) ? String(args.get(name)) : '');
  const module = event.module || text('hlo_module');
  const source = text('source');
  const begin = model.data.time(event.begin_ps) - (model.engine?.extent[0] ?? 0);
  const facts: (Fact | false)[] = [
    ['Duration', duration(Number(event.duration_ps), 6), undefined, `${event.duration_ps} ps`],
    ['Begins at', duration(begin, 9), undefined, `${event.begin_ps} ps of the session`],
    ['Row', `${host?.processes[row?.process ?? -1]?.name ?? ''} › ${row?.name || row?.id}`],
    model.data.hosts.length > 1 && ['Host', host?.name ?? ''],
    event.group !== undefined && ['Step', String(event.group)],
    !!module && ['Module', module],
    !!source && ['Source', source, { title: 'Copy', run: () => void navigator.clipboard?.writeText(source) }],
    ...event.parents.map((parent, i): Fact => [i === 0 ? 'Within' : '', `${duration(Number(parent.duration_ps))}, `, go(model, event, parent)]),
    ...event.linked.map((linked): Fact => [DIRECTION[linked.direction] ?? 'Flow', `${host?.rows[linked.row]?.name ?? ''} › `, go(model, event, linked)]),
  ];
  const rest = event.args.filter(([name]) => !APART.includes(name)).map(([name, value]): Fact => [name, shown(value)]);
  return {
    kind: 'Event',
    title: event.name || '(no name)',
    category: event.category === undefined ? undefined : categoryOf(event.category === UNTOLD ? event.name : event.category),
    facts: facts.filter((fact): fact is Fact => !!fact),
    more: rest.length ? { title: 'Arguments', facts: rest } : undefined,
    text: [text('long_name') || text('hlo_text'), text('source_stack')].filter(Boolean).join('\n\n') || undefined,
    links: links(model, event, text('hlo_op'), module, source, args.has('kernel_details')),
  };
}

const DIRECTION = ['Flow', 'Flow to', 'Flow from', 'Flow through'];

function go(model: Model, event: Event, to: EventPlace): NonNullable<Fact[2]> {
  const from = model.data.time(to.begin_ps);
  const found = { host: event.at.host, row: to.row, position: to.position, lane: to.lane, name: to.name, from, to: from + Number(to.duration_ps) };
  return { title: to.name || '(no name)', run: () => model.reveal(found) };
}

/** Pages that show the same op, kernel or line of source. */
function links(model: Model, event: Event, hloOp: string, module: string, source: string, isKernel: boolean): Link[] {
  const { url } = model;
  const op = hloOp || (event.category === undefined ? '' : event.name);
  const to = (title: string, page: string, changes: Changes): Link => ({ title, href: url.href(page, changes) });
  const exactly = (column: string, name: string) => ({ f: `${column}:="${name}"` });
  return [
    ...(op ? [to('Op tree', 'tree', { op }), to('Op table', 'ops', exactly('hlo_op_name', op)), to('Graph', 'graph', { op, m: module }), to('Roofline', 'roofline', exactly('operation', op))] : []),
    ...(isKernel ? [to('Kernels', 'kernels', exactly('kernel_name', event.name))] : []),
    ...(source ? [to(`Ops of ${source.replace(/^.*\//, '')}`, 'ops', { f: `source_info:"${source}"` })] : []),
  ];
}
