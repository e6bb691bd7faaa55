/** Holds the view and draws it: one frame whenever something changed, none otherwise. */

import { AXIS, drawAxis, Minimap, MINIMAP, STEPS, type Steps } from './axis';
import type { Data } from './data';
import { boxRenderer, type BoxRenderer } from './draw';
import type { Item, Layout } from './layout';
import type { Loaded, Slice } from './loaded';
import { Overlay, type Arrow, type Marks, type Spot, type Theme } from './overlay';
import type { Palette } from './palette';
import { hit, placed, rowDraws, type Frame, type Hit } from './scene';
import { clamp, zoom, type View } from './time';

export interface Canvases {
  readonly boxes: HTMLCanvasElement;
  readonly lines: HTMLCanvasElement;
  readonly axis: HTMLCanvasElement;
  readonly minimap: HTMLCanvasElement;
}

export interface Hooks {
  /** After each frame. */
  readonly drawn: (frame: Frame) => void;
  /** When the view came to rest. */
  readonly settled: (view: View) => void;
}

/** How long a view must rest until it is written to the address and asked for, in ms. */
const REST_MS = 120;
const GLIDE_MS = 180;

export class Engine {
  view: View = { from: 0, span: 1 };
  layout: Layout = { pinned: [], items: [], pinnedHeight: 0, height: 0 };
  scroll = 0;
  marks: Marks = { arrows: [] };
  readonly renderer: BoxRenderer;
  width = 1;
  height = 1;
  #ratio = 1;
  #overlay: Overlay;
  #minimap = new Minimap();
  #palette: Palette | undefined;
  #theme: Theme | undefined;
  #pending = 0;
  #glide: { from: View; to: View; since: number } | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;
  #slices = new Map<number, readonly Slice[]>();
  /** Called at the begin of a frame with the ms since the last one; true keeps frames coming. */
  step: ((ms: number) => boolean) | undefined;
  #last = 0;
  #hasShown = false;

  constructor(
    readonly canvases: Canvases,
    readonly data: Data,
    readonly hooks: Hooks,
    prefer: 'auto' | 'gl' | 'canvas',
  ) {
    this.renderer = boxRenderer(canvases.boxes, prefer);
    this.#overlay = new Overlay(canvases.lines);
  }

  get extent(): readonly [number, number] {
    return this.data.extent ?? [0, 1];
  }

  get reducesMotion(): boolean {
    return matchMedia('(prefers-reduced-motion: reduce)').matches;
  }

  /** Where the view is going, if it is on its way. */
  get target(): View {
    return this.#glide?.to ?? this.view;
  }

  colours(palette: Palette, theme: Theme): void {
    [this.#palette, this.#theme] = [palette, theme];
    this.invalidate();
  }

  resize(width: number, height: number, ratio: number): void {
    [this.width, this.height, this.#ratio] = [Math.max(1, width), Math.max(1, height), ratio];
    this.renderer.resize(width, height, ratio);
    this.#overlay.resize(width, height, ratio);
    for (const [canvas, tall] of [[this.canvases.axis, AXIS + STEPS], [this.canvases.minimap, MINIMAP]] as const) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.round(tall * ratio);
      canvas.getContext('2d')?.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.ask();
    this.invalidate();
  }

  setView(view: View, how: 'now' | 'glide' = 'now'): void {
    const [min, max] = this.extent;
    const next = clamp(view, min, max);
    this.#glide = how === 'glide' && !this.reducesMotion ? { from: this.view, to: next, since: performance.now() } : undefined;
    if (!this.#glide) this.view = next;
    this.#moved();
  }

  zoomBy(factor: number, at = 0.5, how: 'now' | 'glide' = 'now'): void {
    this.setView(zoom(how === 'glide' ? this.target : this.view, factor, at), how);
  }

  panBy(share: number, how: 'now' | 'glide' = 'now'): void {
    const view = how === 'glide' ? this.target : this.view;
    this.setView({ ...view, from: view.from + share * view.span }, how);
  }

  /** Brings a span into view: centred, with some room beside it. */
  show(from: number, to: number, room = 0.75): void {
    const length = Math.max(to - from, 1);
    this.setView({ from: from - length * room, span: length * (1 + 2 * room) }, 'glide');
  }

  reset(how: 'now' | 'glide' = 'glide'): void {
    const [min, max] = this.extent;
    this.setView({ from: min - (max - min) * 0.01, span: (max - min) * 1.02 }, how);
  }

  timeAt(x: number): number {
    return this.view.from + (x / this.width) * this.view.span;
  }

  hit(x: number, y: number): Hit | undefined {
    return hit(this.#frame(), x, y);
  }

  get frame(): Frame {
    return this.#frame();
  }

  invalidate(): void {
    if (!this.#pending) this.#pending = requestAnimationFrame((now) => this.#draw(now));
  }

  /** Asks for what the view lacks, of the hosts that can be seen; at once, and again when it rests. */
  ask(): void {
    // Before there is a width nobody knows how fine the answer must be.
    if (this.width <= 1) return;
    this.#asked = performance.now();
    const hosts = new Set([...this.layout.pinned, ...this.#visible()].map((item) => item.host));
    this.data.want(hosts, this.data.extent ? this.target : undefined, this.width * this.#ratio);
  }

  forget(loaded: Loaded): void {
    this.renderer.forget(loaded);
  }

  dispose(): void {
    cancelAnimationFrame(this.#pending);
    clearTimeout(this.#rest);
    this.renderer.dispose();
  }

  #visible(): Item[] {
    return placed(this.#frame()).map(({ item }) => item);
  }

  #moved(): void {
    this.invalidate();
    if (performance.now() - this.#asked > REST_MS) this.ask();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.ask();
      this.hooks.settled(this.target);
    }, REST_MS);
  }

  #frame(): Frame {
    const { view, layout, scroll, width, height } = this;
    const slices = (host: number) => {
      let found = this.#slices.get(host);
      if (!found) this.#slices.set(host, (found = this.data.slices(host, view, view.span / (width * this.#ratio))));
      return found;
    };
    this.#slices.clear();
    return { view, layout, scroll, width, height, slices };
  }

  #draw(now: number): void {
    this.#pending = 0;
    const again = this.step?.(Math.min(50, now - this.#last)) ?? false;
    this.#last = now;
    if (this.#glide) this.#gliding(now);
    const [palette, theme] = [this.#palette, this.#theme];
    if (palette && theme && this.data.extent) {
      const frame = this.#frame();
      const items = placed(frame);
      this.renderer.draw(rowDraws(frame, items), frame.view, palette);
      this.#overlay.draw(frame, items, this.marks, palette, theme);
      this.#strips(frame, theme);
      if (!this.#hasShown && this.renderer.drawn) {
        this.#hasShown = true;
        // For those who measure: when the first events were there.
        performance.mark('timeline-first-events');
      }
      this.hooks.drawn(frame);
    } else if (palette) {
      // An opaque canvas is black until something is drawn, and reading a large trace takes seconds.
      this.renderer.draw([], this.view, palette);
    }
    if (again || this.#glide) this.invalidate();
  }

  #gliding(now: number): void {
    const { from, to, since } = this.#glide!;
    const share = Math.min(1, Math.max(0, (now - since) / GLIDE_MS));
    const eased = 1 - (1 - share) ** 3;
    if (share >= 1) {
      this.view = to;
      this.#glide = undefined;
      return;
    }
    // Lengths by factors, so that zooming is even.
    const span = from.span * (to.span / from.span) ** eased;
    const moved = Math.abs(to.span - from.span) < 1e-9 * from.span ? eased : (span - from.span) / (to.span - from.span);
    this.view = { from: from.from + (to.from - from.from) * moved, span };
  }

  #strips(frame: Frame, theme: Theme): void {
    const [axis, minimap] = [this.canvases.axis.getContext('2d'), this.canvases.minimap.getContext('2d')];
    if (axis) drawAxis(axis, frame.view, frame.width, this.extent[0], this.steps(frame), theme);
    if (minimap) this.#minimap.draw(minimap, this.data.wholes, this.extent, frame.view, frame.width, this.marks.hits ?? [], theme);
  }

  /** The first row of steps of the hosts shown. */
  steps(frame: Frame): (Steps & { host: number }) | undefined {
    for (const host of this.data.hosts) {
      const row = host.rows.findIndex(({ name }) => name === 'Steps');
      if (row >= 0) return { host: host.index, row, slices: frame.slices(host.index) };
    }
    return undefined;
  }

  mark(changes: Partial<Marks>): void {
    this.marks = { ...this.marks, ...changes };
    this.invalidate();
  }

  select(selected: Spot | undefined, arrows: readonly Arrow[] = []): void {
    this.mark({ selected, arrows });
  }
}
