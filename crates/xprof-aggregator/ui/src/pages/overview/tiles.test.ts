import { expect, test } from 'vitest';
import { category } from '../../lib/categories';
import { readMemoryPeak } from './memory';
import type { Kind, Overview } from './read';
import { tiles, type Memory } from './tiles';

const part = (kind: Kind, values: number[]) => ({ key: kind, title: kind, kind, category: category('rest'), values });

function overview(props: Record<string, string>, ...parts: ReturnType<typeof part>[]): Overview {
  const totals = (parts[0]?.values ?? []).map((_, at) => parts.reduce((sum, p) => sum + p.values[at]!, 0));
  const none = { labels: [], parts: [], totals: [] };
  return { props, steps: { labels: totals.map(String), parts, totals }, ops: [], latency: none, remarks: [], statements: [], tips: [] };
}

const NO_MEMORY: Memory = { why: 'not asked', of: '' };
const tile = (o: Overview, key: string, memory = NO_MEMORY) => tiles(o, memory).find((t) => t.key === key)!;

test('goodput is the part of the steps in which devices computed', () => {
  const steps = [part('compute', [6, 6]), part('input', [2, 2]), part('host', [2, 2])];
  expect(tile(overview({ hardware_type: 'TPU' }, ...steps), 'goodput').value).toBe(60);
  expect(tile(overview({ hardware_type: 'CPU_ONLY' }, ...steps), 'goodput').value).toBe(80);
  expect(tile(overview({ program_goodput_percent: '91.5%' }, ...steps), 'goodput').value).toBe(91.5);
  expect(tile(overview({ hardware_type: 'TPU' }), 'goodput').value).toBeUndefined();
});

test('a counter that is not in the traces is absent, not zero', () => {
  const of = (mxu: string) => tile(overview({ hardware_type: 'TPU', mxu_utilization_percent: mxu }), 'flops');
  expect(of('41.2%').value).toBe(41.2);
  expect(of('0.0%').value).toBeUndefined();
  expect(of('0.0%').why).toMatch(/No counters/);
});

test('duty cycle and idle say what they are shares of', () => {
  const { value, details } = tile(overview({ hardware_type: 'TPU', device_duty_cycle_percent: '92.4%', device_idle_time_percent: '77.3%' }), 'duty');
  expect(value).toBe(92.4);
  expect(details).toEqual(['from each chip’s first op to its last', 'no op in 77.3% of the whole profile']);
});

test('the memory peak is of the allocator that is fullest', () => {
  const allocator = (peak: number, capacity: number) => ({ profileSummary: { peakStats: { peakBytesInUse: String(peak) }, memoryCapacity: String(capacity) } });
  const answer = JSON.stringify({ memoryProfilePerAllocator: { 0: allocator(2 ** 30, 2 ** 32), 1: allocator(3 * 2 ** 30, 2 ** 32), 2: allocator(0, 0) } });
  const peak = readMemoryPeak(answer);
  expect(peak).toEqual({ allocator: '1', bytes: 3 * 2 ** 30, capacity: 2 ** 32 });
  const shown = tile(overview({}), 'memory', { peak, why: '', of: ' of host a' });
  expect(shown.show(shown.value!)).toBe('3 GiB');
  expect(shown.details).toEqual(['75.0% of 4 GiB', 'allocator 1 of host a']);
  expect(readMemoryPeak('')).toBeUndefined();
  expect(readMemoryPeak('{"memoryProfilePerAllocator":{}}')).toBeUndefined();
  expect(tile(overview({}), 'memory').why).toBe('not asked');
});
