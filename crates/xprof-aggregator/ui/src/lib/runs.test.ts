import { expect, test } from 'vitest';
import { searchRuns, stateOf, type RunInfo } from './runs';

const run = (name: string, more: Partial<RunInfo> = {}): RunInfo => ({ name, hosts: 1, bytes: 100, modified_ms: Date.UTC(2026, 2, 5), device: null, duration_ms: null, ...more });
const RUNS = [run('a', { device: 'TPU v6 Lite', duration_ms: 1500, hosts: 8 }), run('b', { device: 'CPU', duration_ms: 20 }), run('c'), run('d', { hosts: 0 }), run('e', { device: 'CPU' })];

test('runs are searched by what is known of them', () => {
  for (const [filter, found] of [
    ['', 'abcde'],
    ['device:tpu', 'a'],
    ['duration:>500', 'a'],
    ['duration:0..500', 'b'],
    ['state:"not read"', 'c'],
    ['hosts:>4 date:2026-03', 'a'],
    ['/(/', ''],
  ] as const) {
    expect(searchRuns(RUNS, filter).map(({ name }) => name).join(''), filter).toBe(found);
  }
  expect(RUNS.map(stateOf)).toEqual(['read', 'read', 'not read yet', 'no trace', 'read']);
});
