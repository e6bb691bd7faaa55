import { describe, expect, it } from 'vitest';
import { decode } from './block';
import type { RowDraw } from './draw';
import { answer, encode, windowOf, type Event } from './fixture';
import { between, folds, itemAt, layout, rowKey, type Choices, type Host } from './layout';
import { slices } from './loaded';
import { density } from './overlay';
import { colourOf, DIM, namesOps, palette } from './palette';
import { RasterBoxes } from './raster';
import { beside, hit, placed, ranges, rowDraws, rowsIn, type Frame } from './scene';

describe('decode', () => {
  it('views the columns of every host', () => {
    const one = encode({ query: 'window', host: 'a' }, { small: ['u8', [1, 2, 3]], wide: ['f64', [0.5]], none: ['u32', []] });
    const two = encode({ query: 'window', host: 'b ü' }, { numbers: ['u32', [7, 4_000_000_000]] });
    const [a, b] = decode(answer(one, two));
    expect([a!.header.host, [...a!.u8('small')], [...a!.f64('wide')], [...a!.u32('none')]]).toEqual(['a', [1, 2, 3], [0.5], []]);
    expect([b!.header.host, [...b!.u32('numbers')], [...b!.u32('absent')]]).toEqual(['b ü', [7, 4_000_000_000], []]);
  });

  it('refuses what it does not know', () => {
    expect(() => decode(new TextEncoder().encode('{"json": 1}').buffer as ArrayBuffer)).toThrow('reload the page');
    const cut = answer(encode({ query: 'window', host: 'a' }, { wide: ['f64', [1, 2]] })).slice(0, -8);
    expect(() => decode(cut)).toThrow();
  });
});

const process = (id: number, name: string) => ({ id, name });
function host(index: number, nRows: number, more: Partial<Host> = {}): Host {
  const rows = Array.from({ length: nRows }, (_, i) => ({ process: 0, kind: 'thread' as const, id: `${i}`, name: `row ${i}`, lanes: 2, n: 9 }));
  return { index, name: `host-${index}`, state: 'ready', message: '', processes: [process(1, '/device:TPU:0')], rows, ...more };
}
const choices = (more: Partial<Choices> = {}): Choices => ({ fold: undefined, pin: [], order: [], ...more });

describe('layout', () => {
  it('stacks rows below their process and finds them by height', () => {
    const { items, height } = layout([host(0, 3)], choices());
    expect(items.map((item) => item.title)).toEqual(['TPU:0', 'row 0', 'row 1', 'row 2']);
    for (const [i, item] of items.entries()) {
      expect(item.top).toBe(i ? items[i - 1]!.top + items[i - 1]!.height : 0);
      expect(itemAt(items, item.top)).toBe(item);
      expect(itemAt(items, item.top + item.height - 0.5)).toBe(item);
    }
    expect(itemAt(items, height)).toBeUndefined();
    expect(between(items, items[1]!.top + 1, items[2]!.top + 1).map((item) => item.title)).toEqual(['row 0', 'row 1']);
  });

  it('folds processes, rows, and what is too much at first', () => {
    const many = layout([host(0, 30)], choices());
    expect(many.items.map((item) => item.kind)).toEqual(['process']);
    expect(many.items[0]!.preview).toEqual([0, 1, 2, 3]);
    expect(layout([host(0, 30)], choices({ fold: new Set() })).items).toHaveLength(31);
    const one = layout([host(0, 2)], choices({ fold: new Set(['0.1.1']) })).items;
    expect(one.map((item) => item.lanes)).toEqual([0, 2, 1]);
    expect([...folds(Array.from({ length: 6 }, (_, i) => host(i, 1)))]).toEqual(['4', '5']);
  });

  it('pins and moves rows', () => {
    const h = host(0, 3);
    const [a, , c] = h.rows.map((row) => rowKey(h, row)) as [string, string, string];
    const moved = layout([h], choices({ pin: [c], order: [c, a] }));
    expect(moved.pinned.map((item) => item.title)).toEqual(['row 2']);
    expect(moved.items.map((item) => item.title)).toEqual(['TPU:0', 'row 2', 'row 0', 'row 1']);
    expect(moved.items[1]!.pinned).toBe(true);
  });

  it('says what is missing', () => {
    const { items } = layout([host(0, 0, { state: 'error', message: 'no such trace', processes: [] }), host(1, 1)], choices());
    expect(items.map((item) => `${item.kind} ${item.title}`)).toEqual(['host host-0', 'message no such trace', 'host host-1', 'process TPU:0', 'row row 0']);
  });
});

const EVENTS: readonly Event[] = [
  { row: 0, lane: 0, start: 0, duration: 500, name: 'outer' },
  { row: 0, lane: 1, start: 100, duration: 100, name: 'inner' },
  { row: 0, lane: 1, start: 300, duration: 1, name: 'tiny' },
  { row: 1, lane: 0, start: 600, duration: 300, name: 'late' },
];

function frame(more: Partial<Frame> = {}): Frame {
  const loaded = windowOf(EVENTS, [{}, {}]);
  const shown = layout([host(0, 2)], choices());
  return { view: { from: 0, span: 1000 }, layout: shown, scroll: 0, width: 500, height: 200, slices: () => [{ loaded, from: 0, to: 1000 }], ...more };
}

describe('hit', () => {
  const nameAt = (f: Frame, x: number, lane: number, item = 1) => {
    const found = hit(f, x, f.layout.items[item]!.top - f.scroll + 4 + lane * 17);
    return found && found.slice.loaded.nameOf(found.box);
  };

  it('finds the event of the lane', () => {
    expect(nameAt(frame(), 60, 0)).toBe('outer');
    expect(nameAt(frame(), 60, 1)).toBe('inner');
    expect(nameAt(frame(), 400, 0, 2)).toBe('late');
  });

  it('finds small events from a little beside, and nothing where there is nothing', () => {
    expect(nameAt(frame(), 152, 1)).toBe('tiny');
    expect(nameAt(frame(), 200, 1)).toBeUndefined();
    expect(nameAt(frame(), 60, 0, 0)).toBeUndefined();
  });

  it('follows scrolling and the view', () => {
    expect(nameAt(frame({ scroll: 20 }), 400, 0, 2)).toBe('late');
    expect(nameAt(frame({ view: { from: 100, span: 100 } }), 250, 1)).toBe('inner');
  });

  it('goes from event to event on a lane', () => {
    const f = frame();
    const item = f.layout.items[1]!;
    const next = beside(f, item, 1, 1)!;
    expect(next.slice.loaded.nameOf(next.box)).toBe('tiny');
    expect(beside(f, item, 1, -1)).toBeUndefined();
  });
});

describe('areas', () => {
  it('list the rows they touch', () => {
    const { layout: shown } = frame();
    expect([...rowsIn(shown, 0, shown.height)]).toEqual([[0, '0-1']]);
    expect([...rowsIn(shown, shown.items[2]!.top + 1, shown.items[2]!.top + 2)]).toEqual([[0, '1']]);
    expect(ranges([7, 1, 0, 2, 7])).toBe('0-2,7');
  });
});

describe('slices', () => {
  const whole = windowOf(EVENTS, [{}, {}], { begin: 0, end: 1000, part: 10 });
  const left = windowOf(EVENTS, [{}, {}], { begin: 0, end: 200, part: 1 });

  it('takes the window that is fine enough, and the coarse one for the rest', () => {
    const parts = slices([whole, left], { from: 150, span: 100 }, 1);
    expect(parts.map(({ loaded, from, to }) => [loaded === left, from, to])).toEqual([[true, 150, 200], [false, 200, 250]]);
  });

  it('leaves out what is much finer than the screen', () => {
    expect(slices([whole, left], { from: 0, span: 1000 }, 10).map(({ loaded }) => loaded)).toEqual([whole]);
  });
});

describe('colours', () => {
  it('come from categories, from names of ops, or are quiet', () => {
    expect(colourOf('fusion.1', 'convolution', true)).toBe(colourOf('x', 'convolution', false));
    expect(colourOf('all-reduce.3', undefined, true)).toBe(colourOf('', 'all-reduce', true));
    expect(colourOf('dot.3', 'op', false)).toBe(colourOf('', 'convolution', true));
    expect(colourOf('PjitFunction(f)', undefined, false)).toBeGreaterThan(9);
    expect([namesOps('h /device:TPU:0', 'XLA Ops'), namesOps('h /device:TPU:0', 'Steps'), namesOps('h /host:CPU', 'main')]).toEqual([true, false, false]);
  });

  it('pale where a search finds nothing', () => {
    const loaded = windowOf(EVENTS, [{}, {}]);
    loaded.light('INN');
    expect([...loaded.colour].map((colour) => (colour & DIM) !== 0)).toEqual([true, false, true, true]);
    loaded.light('');
    expect([...loaded.colour].some((colour) => colour & DIM)).toBe(false);
  });
});

describe('density', () => {
  it('adds up the outermost events', () => {
    expect([...density([windowOf(EVENTS, [{}, {}])], 0, 1000, 10)].map((x) => Math.round(x * 10) / 10)).toEqual([1, 1, 1, 1, 1, 0, 1, 1, 1, 0]);
  });
});

describe('raster', () => {
  /** A canvas of numbers: what a browser would show. */
  function canvas() {
    let shown = new Uint32Array(0);
    const context = {
      createImageData: (width: number, height: number) => ({ data: new Uint8ClampedArray(width * height * 4) }),
      putImageData: (image: { data: Uint8ClampedArray<ArrayBuffer> }) => (shown = new Uint32Array(image.data.buffer)),
    } as unknown as CanvasRenderingContext2D;
    return { renderer: new RasterBoxes({ width: 0, height: 0 } as HTMLCanvasElement, context), pixel: (x: number, y: number) => shown[y * 500 + x]! };
  }

  it('fills boxes, and nothing else', () => {
    const { renderer, pixel } = canvas();
    renderer.resize(500, 200, 1);
    const f = frame();
    renderer.draw(rowDraws(f, placed(f)), f.view, palette(false, '#ffffff'));
    const top = f.layout.items[1]!.top + 3;
    const background = pixel(499, 199);
    expect(background >>> 0).toBe(0xffffffff);
    const outer = pixel(0, top);
    expect(outer).not.toBe(background);
    expect([pixel(0, top + 15), pixel(248, top + 8), pixel(0, top + 16), pixel(0, top - 1), pixel(250, top)]).toEqual([outer, outer, background, background, background]);
    // The tiny event is one pixel wide.
    expect([149, 150, 151].map((x) => pixel(x, top + 17) === background)).toEqual([true, false, true]);
  });

  it('stays within its clip', () => {
    const { renderer, pixel } = canvas();
    renderer.resize(500, 200, 1);
    const f = frame();
    const rows = rowDraws(f, placed(f)).map((row): RowDraw => ({ ...row, clip: [40, 45], from: 100, to: 200 }));
    renderer.draw(rows, f.view, palette(false, '#ffffff'));
    const inked = (x: number, y: number) => pixel(x, y) >>> 0 !== 0xffffffff;
    expect([inked(60, 41), inked(60, 39), inked(60, 45), inked(49, 41), inked(100, 41)]).toEqual([true, false, false, false, false]);
  });
});
