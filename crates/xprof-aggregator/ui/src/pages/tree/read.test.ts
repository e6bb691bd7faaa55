import { expect, test } from 'vitest';
import { pathsTo, shares, treeRows, type Node } from './read';

const node = (name: string, rawTime: number, flops: number, hbm: number, children: Node[] = []): Node => ({
  name,
  children,
  metrics: { rawTime, rawFlops: 0, uncappedFlops: flops, bandwidthUtils: [hbm], rawBytesAccessedArray: [rawTime / 2], occurrences: 1, avgTimePs: 1 },
});
const root = node('all', 100, 0.1, 0.2, [node('a', 20, 0, 0), node('b', 80, 0.4, 0.2, [node('b1', 79, 0, 0.9), node('b2', 1, 0, 0)])]);

test('shares are of the whole', () => {
  expect(shares(root.children![1]!, root)).toEqual({ time: 80, waste: 40, bytes: 80, flops: 50, hbm: 20 });
  expect(shares(root.children![0]!, root).hbm).toBeUndefined();
});

test('open nodes show their children in the chosen order', () => {
  const names = (open: string[], by: 'time' | 'waste', least = 0) => treeRows(root, new Set(open), by, least).map((r) => `${r.depth}${r.node.name}`);
  expect(names([], 'time')).toEqual(['0b', '0a']);
  expect(names(['\u001fb'], 'time')).toEqual(['0b', '1b1', '1b2', '0a']);
  expect(names(['\u001fb'], 'waste', 5)).toEqual(['0b', '1b1', '0a']);
});

test('an op is found where it takes most time', () => {
  const twice = node('all', 10, 0, 0, [node('m1', 4, 0, 0, [node('op', 4, 0, 0)]), node('m2', 6, 0, 0, [node('op', 6, 0, 0)]), node('op', 9, 0, 0, [node('x', 9, 0, 0)])]);
  expect(pathsTo(twice, 'op')).toEqual(['\u001fm2', '\u001fm2\u001fop']);
  expect(pathsTo(twice, 'm1')).toEqual([]);
});
