/** What is selected: one event with everything about it, or an area with its sums. */

import type { EventHeader } from './engine/block';
import type { Data } from './engine/data';

export interface NameSum {
  readonly name: string;
  readonly category: string | undefined;
  readonly n: number;
  readonly totalPs: number;
  readonly selfPs: number;
  readonly maxPs: number;
  /** Its first event. */
  readonly host: number;
  readonly row: number;
  readonly position: number;
}

export interface CounterSum {
  readonly name: string;
  readonly n: number;
  readonly low: number;
  readonly mean: number;
  readonly high: number;
}

export interface EventKey {
  readonly host: number;
  readonly row: number;
  readonly position: number;
}

export interface AreaKey {
  /** In ps from the origin of the page. */
  readonly from: number;
  readonly to: number;
  /** Rows by host, as the server is asked. */
  readonly rows: ReadonlyMap<number, string>;
}

export class Selection {
  event: (EventHeader & { readonly at: EventKey }) | undefined = $state.raw();
  area: (AreaKey & { readonly names: readonly NameSum[]; readonly counters: readonly CounterSum[] }) | undefined = $state.raw();
  isLoading = $state(false);
  error = $state('');
  #abort = new AbortController();

  clear(): void {
    this.#abort.abort();
    Object.assign(this, { event: undefined, area: undefined, isLoading: false, error: '' });
  }

  async showEvent(data: Data, at: EventKey): Promise<void> {
    await this.#load(async (signal) => {
      const event = await data.event(at.host, at.row, at.position, signal);
      return () => Object.assign(this, { event: { ...event, at }, area: undefined });
    });
  }

  async showArea(data: Data, key: AreaKey): Promise<void> {
    await this.#load(async (signal) => {
      const hosts = [...key.rows.keys()];
      const blocks = await Promise.all(hosts.map((host) => data.area(host, key.rows.get(host)!, key.from, key.to, signal)));
      const names = new Map<string, NameSum>();
      const counters: CounterSum[] = [];
      blocks.forEach((block, b) => {
        const { header } = block;
        const host = hosts[b]!;
        const [n, total, self, max] = [block.u32('count'), block.f64('total_ps'), block.f64('self_ps'), block.f64('max_ps')];
        const [row, position, category] = [block.u32('first_row'), block.u32('first_position'), block.u32('name_category')];
        header.names.forEach((name, i) => {
          const known = names.get(name);
          names.set(name, {
            name,
            category: header.categories[category[i]!] ?? known?.category,
            n: (known?.n ?? 0) + n[i]!,
            totalPs: (known?.totalPs ?? 0) + total[i]!,
            selfPs: (known?.selfPs ?? 0) + self[i]!,
            maxPs: Math.max(known?.maxPs ?? 0, max[i]!),
            host: known?.host ?? host,
            row: known?.row ?? row[i]!,
            position: known?.position ?? position[i]!,
          });
        });
        const [counts, low, mean, high] = ['counter_n', 'counter_low', 'counter_mean', 'counter_high'].map((column) => block.f64(column)) as [Float64Array, Float64Array, Float64Array, Float64Array];
        block.u32('counter_row').forEach((row, i) => {
          const name = data.hosts.find((h) => h.index === host)?.rows[row]?.name ?? '';
          counters.push({ name, n: counts[i]!, low: low[i]!, mean: mean[i]!, high: high[i]! });
        });
      });
      return () => Object.assign(this, { event: undefined, area: { ...key, names: [...names.values()], counters } });
    });
  }

  async #load(ask: (signal: AbortSignal) => Promise<() => void>): Promise<void> {
    this.#abort.abort();
    const { signal } = (this.#abort = new AbortController());
    Object.assign(this, { isLoading: true, error: '' });
    try {
      const show = await ask(signal);
      if (signal.aborted) return;
      show();
    } catch (error) {
      if (signal.aborted) return;
      Object.assign(this, { event: undefined, area: undefined, error: error instanceof Error ? error.message : String(error) });
    }
    this.isLoading = false;
  }

  close(): void {
    this.#abort.abort();
  }
}

/** `host.row.position`, as the address has it. */
export function writeEvent({ host, row, position }: EventKey): string {
  return `${host}.${row}.${position}`;
}

export function readEvent(text: string | undefined): EventKey | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)$/.exec(text ?? '');
  return match ? { host: Number(match[1]), row: Number(match[2]), position: Number(match[3]) } : undefined;
}

/** `0:1-3,5;1:0` */
export function writeRows(rows: ReadonlyMap<number, string>): string {
  return [...rows].map(([host, list]) => `${host}:${list}`).join(';');
}

export function readRows(text: string | undefined): Map<number, string> {
  const rows = new Map<number, string>();
  for (const part of (text ?? '').split(';')) {
    const match = /^(\d+):([\d,-]+)$/.exec(part);
    if (match) rows.set(Number(match[1]), match[2]!);
  }
  return rows;
}
