/** Where rows are: hosts, processes and rows from top to bottom, pinned rows above them. Knows nothing of time. */

import type { ProcessInfo, RowInfo } from './block';

export const LANE = 17;
export const BOX = 16;
const PAD = 3;
const COUNTER = 40;
const HEADER = 26;
/** A process with more rows begins folded. */
const MANY_ROWS = 20;
/** Of more hosts, only so many begin unfolded: each costs the server the work of reading it. */
const MANY_HOSTS = 4;

export interface Host {
  /** Place among all hosts of the run, which is its name in addresses. */
  readonly index: number;
  readonly name: string;
  readonly state: 'waiting' | 'ready' | 'error';
  readonly message: string;
  readonly processes: readonly ProcessInfo[];
  readonly rows: readonly RowInfo[];
}

export interface Item {
  readonly kind: 'host' | 'process' | 'row' | 'message';
  readonly key: string;
  readonly title: string;
  readonly host: number;
  readonly top: number;
  readonly height: number;
  readonly folded: boolean;
  /** Index of the row on its host; -1 unless it is a row. */
  readonly row: number;
  readonly info?: RowInfo;
  /** How many lanes are drawn. */
  readonly lanes: number;
  /** Rows that a folded process shows in small. */
  readonly preview: readonly number[];
  readonly pinned: boolean;
}

export interface Layout {
  readonly pinned: readonly Item[];
  readonly items: readonly Item[];
  readonly pinnedHeight: number;
  readonly height: number;
}

/** What the reader chose. */
export interface Choices {
  /** Folded hosts, processes and rows; `undefined` is what [`folds`] says. */
  readonly fold: ReadonlySet<string> | undefined;
  readonly pin: readonly string[];
  /** Rows that come first in their process, in this order. */
  readonly order: readonly string[];
}

export const hostKey = (host: number) => `${host}`;
export const processKey = (host: number, process: ProcessInfo) => `${host}.${process.id}`;
export const rowKey = (host: Host, row: RowInfo) => `${host.index}.${host.processes[row.process]?.id ?? 0}.${row.id}`;

/** What begins folded: processes with many rows, and hosts behind the first few. */
export function folds(hosts: readonly Host[]): Set<string> {
  const folded = new Set<string>();
  hosts.forEach((host, i) => {
    if (i >= MANY_HOSTS) folded.add(hostKey(host.index));
    host.processes.forEach((process, p) => {
      if (host.rows.filter((row) => row.process === p).length > MANY_ROWS) folded.add(processKey(host.index, process));
    });
  });
  return folded;
}

/** The name of a process without that of its host. */
export function shortName(process: string): string {
  return process.replace(/^\/device:/, '').replace(/^\/host:/, 'Host ') || 'Process';
}

export function layout(hosts: readonly Host[], choices: Choices): Layout {
  const fold = choices.fold ?? folds(hosts);
  const items: Item[] = [];
  const pinned = new Map<string, Item>();
  let top = 0;
  const add = (item: Partial<Item> & Pick<Item, 'kind' | 'key' | 'title' | 'host' | 'height'>) => {
    items.push({ row: -1, lanes: 0, preview: [], folded: fold.has(item.key), pinned: false, ...item, top });
    top += item.height;
  };
  for (const host of hosts) {
    if (hosts.length > 1) add({ kind: 'host', key: hostKey(host.index), title: host.name, host: host.index, height: HEADER });
    const hidden = hosts.length > 1 && fold.has(hostKey(host.index));
    if (host.state !== 'ready' && !hidden) {
      add({ kind: 'message', key: `${host.index}!`, title: host.message, host: host.index, height: HEADER * 3 });
    }
    host.processes.forEach((process, p) => {
      const rows = inOrder(host, p, choices.order);
      const key = processKey(host.index, process);
      const threads = rows.filter((row) => host.rows[row]!.kind !== 'counter');
      if (!hidden) {
        const preview = fold.has(key) ? threads.slice(0, 4) : [];
        add({ kind: 'process', key, title: shortName(process.name), host: host.index, height: HEADER, preview });
      }
      for (const row of rows) {
        const info = host.rows[row]!;
        const item = rowItem(host, row, info, fold);
        if (choices.pin.includes(item.key)) pinned.set(item.key, { ...item, pinned: true });
        if (!hidden && !fold.has(key)) add({ ...item, pinned: choices.pin.includes(item.key) });
      }
    });
  }
  let pinnedHeight = 0;
  const above = choices.pin.flatMap((key) => {
    const item = pinned.get(key);
    if (!item) return [];
    pinnedHeight += item.height;
    return [{ ...item, top: pinnedHeight - item.height }];
  });
  return { pinned: above, items, pinnedHeight, height: top };
}

function rowItem(host: Host, row: number, info: RowInfo, fold: ReadonlySet<string>): Item {
  const key = rowKey(host, info);
  const folded = fold.has(key);
  const lanes = folded ? Math.min(info.lanes, 1) : info.lanes;
  const height = info.kind === 'counter' ? (folded ? HEADER : COUNTER) : lanes * LANE + 2 * PAD;
  const title = info.name || `Thread ${info.id}`;
  return { kind: 'row', key, title, host: host.index, row, info, lanes, height, folded, preview: [], pinned: false, top: 0 };
}

/** Indices of the rows of a process as they are to be shown. */
export function inOrder(host: Host, process: number, order: readonly string[]): number[] {
  const rows = host.rows.flatMap((row, i) => (row.process === process ? [i] : []));
  const place = (row: number) => {
    const at = order.indexOf(rowKey(host, host.rows[row]!));
    return at < 0 ? order.length : at;
  };
  return order.length ? rows.sort((a, b) => place(a) - place(b) || a - b) : rows;
}

/** The item at a height, found by halving. */
export function itemAt(items: readonly Item[], y: number): Item | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle]!.top + items[middle]!.height <= y) low = middle + 1;
    else high = middle;
  }
  const item = items[low];
  return item && item.top <= y ? item : undefined;
}

/** The items that touch a range of heights. */
export function between(items: readonly Item[], top: number, bottom: number): Item[] {
  const shown: Item[] = [];
  for (const item of items) {
    if (item.top >= bottom) break;
    if (item.top + item.height > top) shown.push(item);
  }
  return shown;
}

/** Top of a lane within its item. */
export const laneTop = (lane: number) => PAD + lane * LANE;
/** The lane at a height within an item. */
export const laneAt = (y: number) => Math.floor((y - PAD) / LANE);
