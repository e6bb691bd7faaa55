/** The page's state beside the address: what the server said, what is drawn, what the reader does. The address decides the rest. */

import type { Api } from '../../lib/api';
import type { Router } from '../../lib/router.svelte';
import type { Changes } from '../../lib/url';
import { Data } from './engine/data';
import { Engine, type Canvases } from './engine/engine';
import type { Area, Mode } from './engine/gestures';
import { folds, inOrder, layout, rowKey, type Item, type Layout } from './engine/layout';
import { spotOf, type Arrow, type Spot } from './engine/overlay';
import { UNTOLD } from './engine/palette';
import { beside, rowsIn, type Hit } from './engine/scene';
import { duration, readSpan, writeSpan } from './engine/time';
import { Search, type Found } from './search.svelte';
import { readEvent, readRows, Selection, writeEvent, writeRows, type AreaKey, type EventKey } from './selection.svelte';

/** Stands for nothing folded, because a missing key is the default. */
const NOTHING = '-';

export interface Hover {
  readonly title: string;
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

export class Model {
  readonly data: Data;
  readonly search = new Search();
  readonly selection = new Selection();
  engine: Engine | undefined;
  layout: Layout = $state.raw({ pinned: [], items: [], pinnedHeight: 0, height: 0 });
  scroll = $state(0);
  mode: Mode = $state('pan');
  hover: Hover | undefined = $state.raw();
  /** How much time is in view, and how much there is, in ps. */
  shown: { readonly span: number; readonly whole: number } | undefined = $state.raw();
  /** What draws the boxes. */
  renderer = $state('');
  isReady = $state(false);
  isLoading = $state(true);
  /** Keeps times of the address that this page wrote from being read again. */
  #written: string | undefined;
  #opened = false;

  constructor(
    api: Api,
    readonly run: string,
    readonly url: Router,
    hosts: readonly { index: number; name: string }[],
    /** Told to screen readers. */
    readonly say: (text: string) => void,
  ) {
    this.data = new Data(api, { run }, hosts, (what) => this.#changed(what), (loaded) => this.engine?.forget(loaded));
  }

  attach(canvases: Canvases, prefer: 'auto' | 'gl' | 'canvas'): Engine {
    this.engine = new Engine(canvases, this.data, { drawn: ({ view }) => this.#drawn(view.span), settled: () => this.#writeView() }, prefer);
    this.renderer = this.engine.renderer.kind;
    this.relayout();
    return this.engine;
  }

  #drawn(span: number): void {
    this.isLoading = this.data.isLoading;
    const [min, max] = this.engine!.extent;
    if (span !== this.shown?.span || max - min !== this.shown.whole) this.shown = { span: Math.min(span, max - min), whole: max - min };
  }

  detach(): void {
    this.data.close();
    this.search.close();
    this.selection.close();
    this.engine?.dispose();
    this.engine = undefined;
  }

  /** Rows as the address wants them. */
  relayout(): void {
    const { view } = this.url;
    const list = (key: string) => (view[key] ? view[key].split(',').map(decode) : []);
    const fold = view['fold'] === undefined ? undefined : new Set(view['fold'] === NOTHING ? [] : list('fold'));
    this.layout = layout(this.data.hosts, { fold, pin: list('pin'), order: list('order') });
    if (this.engine) this.engine.layout = this.layout;
    this.engine?.ask();
    this.engine?.invalidate();
  }

  /** The view as the address has it; without one, everything. */
  readView(): void {
    const { engine, data } = this;
    const text = this.url.view['t'];
    if (!engine || data.origin === undefined || text === this.#written) return;
    const span = readSpan(text, data.origin);
    this.#written = text;
    if (span) engine.setView({ from: span[0], span: span[1] - span[0] });
    else engine.reset('now');
  }

  #writeView(): void {
    const { engine, data } = this;
    if (!engine || data.origin === undefined || !data.extent) return;
    const { from, span } = engine.target;
    const [min, max] = data.extent;
    const isWhole = from <= min && from + span >= max;
    const text = isWhole ? undefined : writeSpan(from, from + span, data.origin);
    this.#written = text;
    this.url.set({ t: text });
    this.say(isWhole ? 'The whole trace is in view.' : `In view: ${duration(span)} from ${duration(from - min)} on.`);
  }

  #changed(what: 'rows' | 'boxes'): void {
    this.isLoading = this.data.isLoading;
    if (what === 'rows') {
      if (this.data.extent && this.engine) {
        // Until the reader chooses a view it is the whole, which grows with every host that answers.
        if (!this.url.view['t']) this.engine.reset('now');
        if (!this.isReady) this.readView();
        this.isReady = true;
      }
      this.relayout();
      if (!this.#opened && this.isReady) this.#open();
    }
    this.engine?.ask();
    this.engine?.invalidate();
  }

  /** What the address says of a step, once there are rows to look for it. */
  #open(): void {
    this.#opened = true;
    const { step, t } = this.url.view;
    if (step !== undefined && t === undefined) void this.#showStep(step);
  }

  async #showStep(step: string): Promise<void> {
    const host = this.data.hosts.find((h) => h.rows.some((row) => row.name === 'Steps'));
    const row = host?.rows.findIndex(({ name }) => name === 'Steps') ?? -1;
    if (!host) return;
    try {
      const block = await this.data.search(host.index, step, 100_000, new AbortController().signal);
      const [rows, names, begins, lengths] = [block.u32('row'), block.u32('name'), block.f64('begin_ps'), block.f64('duration_ps')];
      const at = rows.findIndex((r, i) => r === row && isStep(block.header.names[names[i]!]!, step));
      if (at < 0) return;
      const from = this.data.time(block.header.min_ps) + begins[at]!;
      this.engine?.show(from, from + lengths[at]!, 0.05);
    } catch {
      this.say(`Step ${step} was not found.`);
    }
  }

  // What the reader does; all of it goes by the address.

  #set(changes: Changes, how: 'replace' | 'push' = 'replace'): void {
    this.url.set(changes, how);
  }

  toggleFold(key: string): void {
    const { fold } = this.url.view;
    const folded = fold === undefined ? folds(this.data.hosts) : new Set(fold === NOTHING ? [] : fold.split(',').map(decode));
    if (!folded.delete(key)) folded.add(key);
    this.#set({ fold: keys([...folded]) || NOTHING });
  }

  foldAll(isFolded: boolean): void {
    const all = this.data.hosts.flatMap((host) => host.processes.map((process) => `${host.index}.${process.id}`));
    this.#set({ fold: isFolded ? keys(all) : NOTHING });
  }

  togglePin(key: string): void {
    const pinned = (this.url.view['pin'] ?? '').split(',').filter(Boolean).map(decode);
    this.#set({ pin: keys(pinned.includes(key) ? pinned.filter((k) => k !== key) : [...pinned, key]) });
  }

  /** Moves a row among those of its process; rows of other processes stay. */
  moveRow(item: Item, by: number): void {
    const host = this.data.hosts.find((h) => h.index === item.host);
    if (!host || !item.info) return;
    const order = (this.url.view['order'] ?? '').split(',').filter(Boolean).map(decode);
    const own = inOrder(host, item.info.process, order).map((row) => rowKey(host, host.rows[row]!));
    const at = own.indexOf(item.key);
    const to = Math.min(Math.max(at + by, 0), own.length - 1);
    if (at < 0 || to === at) return;
    own.splice(to, 0, ...own.splice(at, 1));
    this.#set({ order: keys([...order.filter((key) => !own.includes(key)), ...own]) });
    this.say(`${item.title} is now row ${to + 1} of ${own.length}.`);
  }

  selectHit(hit: Hit | undefined): void {
    if (!hit) this.clear();
    else this.selectEvent({ host: hit.item.host, row: hit.item.row, position: hit.slice.loaded.position[hit.box]! });
    if (hit) this.engine?.select(spotOf(hit));
  }

  selectEvent(at: EventKey): void {
    this.#set({ e: writeEvent(at), sel: undefined });
  }

  /** An area that is being drawn, or is done. */
  drawArea(area: Area, done: boolean): void {
    this.engine?.mark({ area: { ...area, top: Number.isFinite(area.top) ? area.top : undefined, bottom: Number.isFinite(area.bottom) ? area.bottom : undefined } });
    if (done) this.#selectArea(area.from, area.to, rowsIn(this.layout, area.top, area.bottom));
  }

  #selectArea(from: number, to: number, rows: ReadonlyMap<number, string>): void {
    if (!rows.size || this.data.origin === undefined) return;
    this.#set({ e: undefined, sel: `${writeSpan(from, to, this.data.origin)}~${writeRows(rows)}` });
  }

  /** All rows shown, over the selected event or the view. */
  sumUp(): void {
    const event = this.selection.event;
    const { from, span } = this.engine!.target;
    const begin = event ? this.data.time(event.begin_ps) : from;
    const end = event ? begin + Number(event.duration_ps) : from + span;
    this.#selectArea(begin, end, rowsIn(this.layout, 0, this.layout.height));
  }

  clear(): void {
    this.#set({ e: undefined, sel: undefined });
  }

  setSearch(text: string, how: 'replace' | 'push'): void {
    this.#set({ q: text || undefined }, how);
  }

  stepHit(by: 1 | -1): void {
    const found = this.search.step(by, this.engine?.view.from ?? 0);
    if (found) this.reveal(found);
  }

  /** Brings an event into view and selects it. */
  reveal(found: Found): void {
    this.selectEvent(found);
    this.engine?.select({ ...found });
    const { view } = this.engine!;
    const visible = found.from >= view.from && found.to <= view.from + view.span && (found.to - found.from) / view.span > 0.02;
    if (!visible) this.engine?.show(found.from, found.to, 3);
    this.#scrollTo(found);
    this.say(`${found.name}, ${this.search.at + 1} of ${this.search.n}`);
  }

  #scrollTo({ host, row }: { readonly host: number; readonly row: number }): void {
    const item = this.layout.items.find((i) => i.kind === 'row' && i.host === host && i.row === row);
    const room = this.engine!.height - this.layout.pinnedHeight;
    if (item && (item.top < this.scroll || item.top + item.height > this.scroll + room)) {
      this.scroll = Math.max(0, item.top - room / 3);
    } else if (!item) this.#unfold(host, row);
  }

  /** Opens what hides a row. */
  #unfold(host: number, row: number): void {
    const h = this.data.hosts.find((h) => h.index === host);
    const info = h?.rows[row];
    if (!h || !info) return;
    const { fold } = this.url.view;
    const folded = fold === undefined ? folds(this.data.hosts) : new Set(fold.split(',').map(decode));
    folded.delete(`${host}`);
    folded.delete(`${host}.${h.processes[info.process]!.id}`);
    this.#set({ fold: keys([...folded]) || NOTHING });
  }

  /** The event beside the selected one on its lane. */
  stepEvent(by: 1 | -1): boolean {
    const { event } = this.selection;
    if (!event || !this.engine) return false;
    const item = this.layout.items.find((i) => i.kind === 'row' && i.host === event.at.host && i.row === event.at.row);
    const next = item && beside(this.engine.frame, item, event.at.position, by);
    if (!next) return false;
    this.selectHit(next);
    const [from, to] = next.slice.loaded.span(next.box);
    const { view } = this.engine;
    if (from < view.from || to > view.from + view.span) this.engine.setView({ ...view, from: (from + to - view.span) / 2 }, 'glide');
    return true;
  }

  fitSelection(): void {
    const { event, area } = this.selection;
    if (event) {
      const from = this.data.time(event.begin_ps);
      this.engine?.show(from, from + Number(event.duration_ps));
    } else if (area) this.engine?.show(area.from, area.to, 0.1);
  }

  setHover(hit: Hit | undefined, x: number, y: number): void {
    this.engine?.mark({ hover: hit, cursor: y > 0 ? x : undefined });
    if (!hit) {
      this.hover = undefined;
      return;
    }
    const { loaded } = hit.slice;
    const [from, to] = loaded.span(hit.box);
    const count = loaded.count[hit.box]!;
    const category = loaded.categoryOf(hit.box);
    const text = count > 1 ? `${count.toLocaleString('en')} events within ${duration(to - from)}; this is one of them` : duration(to - from);
    this.hover = { title: loaded.nameOf(hit.box), text: category && category !== UNTOLD ? `${text} · ${category}` : text, x, y };
  }

  // What follows the address.

  /** Loads what the keys `e` and `sel` name. */
  readSelection(e: string | undefined, sel: string | undefined): void {
    const { data, engine } = this;
    if (!engine || data.origin === undefined) return;
    const at = readEvent(e);
    const [from, to, rows] = (sel ?? '').split('~');
    const span = readSpan(`${from}~${to}`, data.origin);
    if (at) {
      engine.mark({ area: undefined });
      void this.selection.showEvent(data, at).then(() => this.#markEvent(at));
    } else if (span) {
      const key: AreaKey = { from: span[0], to: span[1], rows: readRows(rows) };
      engine.select(undefined);
      if (!engine.marks.area) engine.mark({ area: this.#areaOf(key) });
      void this.selection.showArea(data, key).then(() => this.#sayArea());
    } else {
      this.selection.clear();
      engine.mark({ area: undefined, selected: undefined, arrows: [] });
    }
  }

  #areaOf({ from, to, rows }: AreaKey): { from: number; to: number; top?: number; bottom?: number } {
    const has = (item: Item) => rows.get(item.host)?.split(',').some((part) => {
      const [first, last = first] = part.split('-').map(Number);
      return item.row >= first! && item.row <= last!;
    });
    const items = this.layout.items.filter((item) => item.kind === 'row' && has(item));
    return items.length ? { from, to, top: items[0]!.top, bottom: items.at(-1)!.top + items.at(-1)!.height } : { from, to };
  }

  #markEvent(at: EventKey): void {
    const { event } = this.selection;
    if (!event || event.at !== at || !this.engine) return;
    const spot = (place: { row: number; lane: number; begin_ps: string; duration_ps: string }): Spot => {
      const from = this.data.time(place.begin_ps);
      return { host: at.host, row: place.row, lane: place.lane, from, to: from + Number(place.duration_ps) };
    };
    const own = spot(event);
    const arrows = event.linked.map((linked): Arrow => (spot(linked).from < own.from ? { from: spot(linked), to: own } : { from: own, to: spot(linked) }));
    this.engine.select(own, arrows);
    this.say(`Selected: ${event.name}, ${duration(Number(event.duration_ps))}.`);
  }

  #sayArea(): void {
    const { area } = this.selection;
    if (!area) return;
    const n = area.names.reduce((sum, name) => sum + name.n, 0);
    this.say(`Selected: ${n.toLocaleString('en')} events of ${area.names.length} names in ${duration(area.to - area.from)}.`);
  }
}

/** Whether that is the name of a step: its own, or one that ends with its number. */
function isStep(name: string, step: string): boolean {
  return name === step || (/^\d+$/.test(step) && /(\d+)$/.exec(name)?.[1] === step);
}

function keys(list: readonly string[]): string {
  return list.map((key) => key.replace(/[%,]/g, encodeURIComponent)).join(',');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
