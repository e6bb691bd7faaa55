/** What a frame shows: which rows of which windows, where; and what lies under a point. No canvas is touched here. */

import type { RowDraw } from './draw';
import { between, BOX, itemAt, LANE, laneAt, laneTop, type Item, type Layout } from './layout';
import type { Slice } from './loaded';
import type { View } from './time';

/** Everything that decides a frame. */
export interface Frame {
  readonly view: View;
  readonly layout: Layout;
  /** How far the rows below the pinned ones are scrolled. */
  readonly scroll: number;
  readonly width: number;
  readonly height: number;
  /** What each host is drawn from. */
  readonly slices: (host: number) => readonly Slice[];
}

/** An item where it is on the canvas. */
export interface Placed {
  readonly item: Item;
  readonly top: number;
  readonly clip: readonly [number, number];
}

/** An event, or a group of them, under a point. */
export interface Hit {
  readonly slice: Slice;
  readonly item: Item;
  readonly box: number;
}

/** The items that can be seen, pinned ones first. */
export function placed({ layout, scroll, height }: Frame): Placed[] {
  const above = layout.pinned.map((item) => ({ item, top: item.top, clip: [0, Math.min(layout.pinnedHeight, height)] as const }));
  const rest = between(layout.items, scroll, scroll + height - layout.pinnedHeight);
  const clip = [layout.pinnedHeight, height] as const;
  return [...above, ...rest.map((item) => ({ item, top: item.top - scroll + layout.pinnedHeight, clip }))];
}

/** The boxes of a frame. */
export function rowDraws(frame: Frame, items: readonly Placed[]): RowDraw[] {
  const draws: RowDraw[] = [];
  for (const { item, top, clip } of items) {
    const shown = item.kind === 'row' ? [item.row] : item.preview;
    if (!shown.length) continue;
    const small = item.kind !== 'row';
    const each = small ? Math.min(8, (item.height - 8) / shown.length) : LANE;
    shown.forEach((row, i) => {
      const rowTop = small ? top + 4 + i * each : top + laneTop(0);
      for (const { loaded, from, to } of frame.slices(item.host)) {
        draws.push({
          loaded,
          boxes: loaded.boxes(row),
          top: rowTop,
          laneHeight: LANE,
          boxHeight: small ? Math.max(1, each - 1) : BOX,
          lanes: small ? 1 : item.lanes,
          from,
          to,
          clip,
        });
      }
    });
  }
  return draws;
}

/** The item at a height of the canvas, and the height within it. */
export function itemUnder(frame: Frame, y: number): { item: Item; y: number } | undefined {
  const { layout, scroll } = frame;
  const [items, at] = y < layout.pinnedHeight ? [layout.pinned, y] : [layout.items, y - layout.pinnedHeight + scroll];
  const item = itemAt(items, at);
  return item && { item, y: at - item.top };
}

/** What is at a point, up to a little beside it. */
export function hit(frame: Frame, x: number, y: number, near = 3): Hit | undefined {
  const under = itemUnder(frame, y);
  if (!under || under.item.kind !== 'row') return undefined;
  const lane = laneAt(under.y);
  if (lane < 0 || lane >= under.item.lanes) return undefined;
  const perPixel = frame.view.span / frame.width;
  const at = frame.view.from + x * perPixel;
  let best: Hit | undefined;
  let distance = near * perPixel;
  for (const slice of frame.slices(under.item.host)) {
    const { loaded } = slice;
    if (at < slice.from - distance || at > slice.to + distance) continue;
    const [first, end] = loaded.boxes(under.item.row);
    for (let box = first; box < end; box++) {
      const from = loaded.from + loaded.start[box]! * loaded.tick;
      if (from > at + distance) break;
      if (loaded.lane[box] !== lane) continue;
      const away = Math.max(from - at, at - (from + loaded.duration[box]! * loaded.tick), 0);
      if (away <= distance) [best, distance] = [{ slice, item: under.item, box }, away];
    }
  }
  return best;
}

/** The event before or behind one on its lane, among those loaded. */
export function beside(frame: Frame, item: Item, position: number, step: 1 | -1): Hit | undefined {
  let best: Hit | undefined;
  let lane: number | undefined;
  const seen: { hit: Hit; position: number; lane: number }[] = [];
  for (const slice of frame.slices(item.host)) {
    const [first, end] = slice.loaded.boxes(item.row);
    for (let box = first; box < end; box++) {
      const at = slice.loaded.position[box]!;
      if (at === position) lane = slice.loaded.lane[box]!;
      seen.push({ hit: { slice, item, box }, position: at, lane: slice.loaded.lane[box]! });
    }
  }
  let nearest = Infinity;
  for (const { hit, position: at, lane: on } of seen) {
    const away = (at - position) * step;
    if (on === lane && away > 0 && away < nearest) [best, nearest] = [hit, away];
  }
  return best;
}

/** The rows that an area of the canvas touches, by host: `0-3,7`, as the server is asked. */
export function rowsIn(layout: Layout, top: number, bottom: number): Map<number, string> {
  const byHost = new Map<number, number[]>();
  const add = (host: number, row: number) => byHost.set(host, [...(byHost.get(host) ?? []), row]);
  for (const item of between(layout.items, top, bottom)) {
    if (item.kind === 'row') add(item.host, item.row);
    else item.preview.forEach((row) => add(item.host, row));
  }
  return new Map([...byHost].map(([host, rows]) => [host, ranges(rows)]));
}

/** 0, 1, 2, 7 → `0-2,7` */
export function ranges(rows: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const row of [...new Set(rows)].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] + 1 === row) last[1] = row;
    else parts.push([row, row]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}
