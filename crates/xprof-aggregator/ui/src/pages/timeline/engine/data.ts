/** Asks the server for what the view needs, host by host, and keeps what may be needed again. */

import type { Api, Params } from '../../../lib/api';
import { decode, type AreaHeader, type Block, type EventHeader, type Facts, type SearchHeader, type WindowHeader } from './block';
import type { Host } from './layout';
import { Loaded, slices, type Slice } from './loaded';
import { neighbour, windowKey, windowOf, type View, type Window } from './time';

/** Bytes of windows that are kept. */
const KEPT_BYTES = 128 << 20;
/** Requests at once: browsers allow six, and the details of an event must not wait. */
const REQUESTS = 4;

interface HostData {
  readonly index: number;
  readonly name: string;
  host: Host;
  min: bigint;
  max: bigint;
  whole: Loaded | undefined;
  /** Most recently used last. */
  readonly windows: Map<string, Loaded>;
  /** What is asked for at present. */
  asking: { key: string; abort: AbortController } | undefined;
  failures: number;
}

export class Data {
  /** All times of the page are relative to this: the begin of the first host that answered. */
  origin: bigint | undefined;
  readonly #hosts: HostData[];
  #search = '';
  #waiting: HostData[] = [];
  #nAsking = 0;
  #closed = false;

  constructor(
    readonly api: Api,
    readonly params: Params,
    hosts: readonly { index: number; name: string }[],
    /** Called when there is something new to draw; `rows` if rows have changed too. */
    readonly changed: (what: 'rows' | 'boxes') => void,
    readonly forget: (loaded: Loaded) => void,
  ) {
    this.#hosts = hosts.map(({ index, name }) => ({
      index,
      name,
      host: { index, name, state: 'waiting', message: `Reading ${name} …`, processes: [], rows: [] },
      min: 0n,
      max: 0n,
      whole: undefined,
      windows: new Map(),
      asking: undefined,
      failures: 0,
    }));
  }

  get hosts(): readonly Host[] {
    return this.#hosts.map((h) => h.host);
  }

  get isLoading(): boolean {
    return this.#nAsking > 0 || this.#waiting.length > 0;
  }

  /** Windows that hold the whole of a host, for the strip that shows all of the time. */
  get wholes(): Loaded[] {
    return this.#hosts.flatMap((h) => h.whole ?? []);
  }

  /** Begin and end of everything, in ps from the origin. */
  get extent(): [number, number] | undefined {
    const { origin } = this;
    const known = this.#hosts.filter((h) => h.whole);
    if (origin === undefined || !known.length) return undefined;
    const min = Math.min(...known.map((h) => Number(h.min - origin)));
    return [min, Math.max(min + 1, ...known.map((h) => Number(h.max - origin)))];
  }

  slices(host: number, view: View, partPerPixel: number): Slice[] {
    const h = this.#of(host);
    return h?.whole ? slices([h.whole, ...h.windows.values()], view, partPerPixel) : [];
  }

  /** Sees to it that hosts have what a view of a width in pixels needs. Without a view it is the whole of them. */
  want(hosts: Iterable<number>, view: View | undefined, pixels: number): void {
    const { origin } = this;
    for (const index of hosts) {
      const h = this.#of(index);
      if (!h || h.failures > 0) continue;
      if (!h.whole || !view || origin === undefined) {
        if (!h.whole) this.#ask(h, null, pixels);
        continue;
      }
      const window = windowOf(view, origin, h.min, h.max);
      const next = h.windows.has(windowKey(window)) || !window ? neighbour(view, window, origin) : window;
      if (window) this.#touch(h, windowKey(window));
      if (next && !h.windows.has(windowKey(next))) this.#ask(h, next, pixels);
    }
  }

  /** Asks once more for hosts that failed. */
  retry(): void {
    for (const h of this.#hosts) h.failures = 0;
    this.changed('rows');
  }

  /** What is not found loses its strength. */
  light(text: string): void {
    this.#search = text;
    for (const h of this.#hosts) for (const l of [...h.windows.values(), ...(h.whole ? [h.whole] : [])]) l.light(text);
  }

  search(host: number, text: string, limit: number, signal: AbortSignal): Promise<Block<SearchHeader>> {
    return this.#block<SearchHeader>(this.#of(host)!.name, { search: text, limit }, signal).then(([block]) => block);
  }

  area(host: number, rows: string, from: number, to: number, signal: AbortSignal): Promise<Block<AreaHeader>> {
    const ps = (time: number) => {
      const at = this.origin! + BigInt(Math.round(time));
      return (at < 0n ? 0n : at).toString();
    };
    const params = { area: rows, begin_ps: ps(from), end_ps: ps(to) };
    return this.#block<AreaHeader>(this.#of(host)!.name, params, signal).then(([block]) => block);
  }

  event(host: number, row: number, position: number, signal: AbortSignal): Promise<EventHeader> {
    return this.#block<EventHeader>(this.#of(host)!.name, { event: `${row}.${position}` }, signal).then(([block]) => block.header);
  }

  /** A time of a header in ps from the origin. */
  time(ps: string): number {
    return Number(BigInt(ps) - (this.origin ?? 0n));
  }

  close(): void {
    this.#closed = true;
    this.#waiting = [];
    for (const h of this.#hosts) h.asking?.abort.abort();
  }

  #of(host: number): HostData | undefined {
    return this.#hosts.find((h) => h.index === host);
  }

  #touch(h: HostData, key: string): void {
    const loaded = h.windows.get(key);
    if (!loaded) return;
    h.windows.delete(key);
    h.windows.set(key, loaded);
  }

  #ask(h: HostData, window: Window, pixels: number): void {
    const key = windowKey(window);
    if (h.asking?.key === key) return;
    h.asking?.abort.abort();
    if (this.#nAsking >= REQUESTS) {
      // The view that is current when its turn comes decides what the host is asked for.
      if (!this.#waiting.includes(h)) this.#waiting.push(h);
      return;
    }
    this.#waiting = this.#waiting.filter((other) => other !== h);
    void this.#load(h, window, key, pixels);
  }

  async #load(h: HostData, window: Window, key: string, pixels: number): Promise<void> {
    const abort = new AbortController();
    h.asking = { key, abort };
    this.#nAsking += 1;
    try {
      // A window is up to four views long, and a part of it is to be no longer than a pixel.
      const resolution = 4 * Math.ceil(pixels / 256) * 256;
      const span = window ? { begin_ps: String(window.begin), end_ps: String(window.begin + window.length) } : {};
      const [block, bytes] = await this.#block<WindowHeader>(h.name, { ...span, resolution }, abort.signal);
      if (this.#closed) return;
      this.#take(h, window, key, block, bytes);
    } catch (error) {
      if (this.#closed || abort.signal.aborted) return;
      h.failures += 1;
      if (!h.whole) h.host = { ...h.host, state: 'error', message: error instanceof Error ? error.message : String(error) };
      this.changed('rows');
    } finally {
      this.#nAsking -= 1;
      if (h.asking?.abort === abort) h.asking = undefined;
      if (!this.#closed) this.changed('boxes');
    }
  }

  #take(h: HostData, window: Window, key: string, block: Block<WindowHeader>, bytes: number): void {
    const { header } = block;
    this.origin ??= BigInt(header.min_ps);
    const loaded = new Loaded(block, key, this.origin, bytes);
    loaded.light(this.#search);
    if (window) {
      h.windows.set(key, loaded);
      this.#bound();
      return;
    }
    h.whole = loaded;
    [h.min, h.max] = [BigInt(header.min_ps), BigInt(header.max_ps)];
    h.host = { ...h.host, state: 'ready', message: '', processes: header.processes, rows: header.rows };
    this.changed('rows');
  }

  /** Lets go of the windows that were not used for longest. */
  #bound(): void {
    let bytes = this.#hosts.reduce((sum, h) => sum + [...h.windows.values()].reduce((s, l) => s + l.bytes, h.whole?.bytes ?? 0), 0);
    for (const h of this.#hosts) {
      for (const [key, loaded] of h.windows) {
        if (bytes <= KEPT_BYTES || h.windows.size <= 2) break;
        h.windows.delete(key);
        this.forget(loaded);
        bytes -= loaded.bytes;
      }
    }
  }

  async #block<Header extends Facts>(host: string, params: Params, signal: AbortSignal): Promise<[Block<Header>, number]> {
    const { body } = await this.api.bytes('data', { ...this.params, tag: 'timeline', host, ...params }, signal);
    const [block] = decode<Header>(body);
    if (!block) throw new Error('the answer holds no host');
    return [block, body.byteLength];
  }
}
