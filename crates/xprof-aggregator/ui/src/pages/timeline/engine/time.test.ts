import { describe, expect, it } from 'vitest';
import { clamp, duration, neighbour, readSpan, ticks, windowKey, windowOf, writeSpan, zoom } from './time';

describe('durations', () => {
  it.each([
    [0, '0 ps'],
    [7, '7 ps'],
    [1500, '1.5 ns'],
    [123_456_789, '123.5 µs'],
    [999_999_999, '1000 µs'],
    [5e9, '5 ms'],
    [3.25e12, '3.25 s'],
    [-2e6, '-2 µs'],
  ])('%d ps is %s', (ps, text) => expect(duration(ps)).toBe(text));
});

describe('ticks', () => {
  it('lie at round times', () => {
    const { first, step, label } = ticks(1.3e9, 2e9, 1000);
    expect([first, step, label(first)]).toEqual([1.4e9, 2e8, '1.4 ms']);
  });
});

describe('spans of the address', () => {
  const origin = 2_899_545_218_721_251_500n;

  it('come back to the picosecond, however late the session', () => {
    const text = writeSpan(1, 12_345_678, origin);
    expect(text).toBe('2899545218721251.501~2899545218733597.178');
    expect(readSpan(text, origin)).toEqual([1, 12_345_678]);
  });

  it.each(['', '1', '5~4', 'a~b', '1~2~3', '1e3~2e3'])('%s is none', (text) => expect(readSpan(text, 0n)).toBeUndefined());
});

describe('views', () => {
  it('zoom around a point that stays', () => {
    const view = zoom({ from: 100, span: 1000 }, 0.5, 0.25);
    expect(view).toEqual({ from: 225, span: 500 });
    expect(view.from + 0.25 * view.span).toBe(350);
  });

  it('stay near the trace', () => {
    expect(clamp({ from: -5000, span: 100 }, 0, 1000)).toEqual({ from: -20, span: 100 });
    expect(clamp({ from: 5000, span: 1e9 }, 0, 1000).span).toBe(1040);
    expect(clamp({ from: 0, span: 0 }, 0, 1000).span).toBeGreaterThan(1);
  });
});

describe('windows', () => {
  const max = 1n << 50n;

  it('hold the view, and are shared by views nearby', () => {
    for (let i = 0; i < 500; i++) {
      const view = { from: 1e12 + i * 7_654_321_987, span: 1000 * 1.13 ** (i % 150) };
      const window = windowOf(view, 5n, 0n, max);
      if (!window) continue;
      const [begin, end] = [Number(window.begin) - 5, Number(window.begin + window.length) - 5];
      expect(begin).toBeLessThanOrEqual(view.from);
      expect(end).toBeGreaterThanOrEqual(view.from + view.span);
      expect(Number(window.length)).toBeLessThan(4 * view.span + 2048);
      expect(windowKey(windowOf({ ...view, from: view.from + 1 }, 5n, 0n, max))).toBe(windowKey(window));
    }
  });

  it('are none where the whole trace serves', () => {
    expect(windowOf({ from: 0, span: 1e9 }, 0n, 0n, 1_500_000_000n)).toBeNull();
  });

  it('know which one comes next', () => {
    const window = { begin: 1024n, length: 1024n };
    expect(neighbour({ from: 1500, span: 64 }, window, 0n)).toBeNull();
    expect(neighbour({ from: 1700, span: 64 }, window, 0n)).toEqual({ begin: 1536n, length: 1024n });
    expect(neighbour({ from: 1300, span: 64 }, window, 0n)).toEqual({ begin: 512n, length: 1024n });
  });
});
