import { expect, test } from 'vitest';
import { filterRows, FilterError, readTable, sortRows, toCsv, toJson, words, type DataTable } from './table';

const answer: DataTable = {
  cols: [
    { id: 'category', label: 'HLO op category', type: 'string' },
    { id: 'total_time', label: 'Total time (us)', type: 'number' },
    { id: 'share', label: 'Total time (%)', type: 'number' },
    { id: 'source_info', label: 'Source', type: 'string' },
    { id: 'tooltip', label: 'tooltip', type: 'string' },
    { id: 'dma', label: '%time stalled by DMA', type: 'number' },
  ],
  rows: [
    { c: [{ v: 'loop fusion' }, { v: 10 }, { v: 0.5 }, { v: "<div class='x' title='a.py:1\n&lt;b&gt;'>a</div>" }, { v: 't' }, { v: 0 }] },
    { c: [{ v: 'copy' }, { v: 2.5 }, { v: 0.25 }, { v: '' }, { v: 't' }, { v: 0 }] },
    { c: [{ v: 'Copy-done "x"' }, { v: 20 }, null, { v: '' }, { v: 't' }, { v: 0 }] },
  ],
};
const table = readTable(answer, 'roofline_model');

test('answers become tables', () => {
  expect(table.columns.map((c) => [c.id, c.title, c.unit, c.kind, c.sums, c.hidden])).toEqual([
    ['category', 'HLO op category', '', 'text', false, false],
    ['total_time', 'Total time', 'µs', 'number', true, false],
    ['share', 'Total time', '%', 'percent', false, false],
    ['source_info', 'Source', '', 'text', false, false],
    ['dma', 'Time stalled by DMA', '%', 'percent', false, true],
  ]);
  expect(table.rows[0]).toEqual(['loop fusion', 10, 50, 'a.py:1\n<b>', 0]);
  expect(readTable(answer, 'hlo_stats').rows[0]![2]).toBe(0.5);
});

test('filters', () => {
  for (const [filter, found] of [
    ['', [0, 1, 2]],
    ['copy', [1, 2]],
    ['COPY total_time:>10', [2]],
    ['category:=copy', [1]],
    ['category:="loop fusion"', [0]],
    ['category:!copy', [0]],
    ['!copy', [0]],
    ['category:/^c.*y$/', [1]],
    ['total_time:2.5..10', [0, 1]],
    ['total_time:<=2.5', [1]],
    ['unknown:x', []],
    ['"loop f"', [0]],
  ] as const) {
    expect(filterRows(table, filter), filter).toEqual(found);
  }
  expect(() => filterRows(table, '/(/')).toThrow(FilterError);
  expect(words('a "b c" d:="e f"')).toEqual(['a', '"b c"', 'd:="e f"']);
});

test('what is shown is written as it is', () => {
  const some = table.columns.slice(0, 2);
  const rows = table.rows.slice(1, 2).map((row) => row.slice(0, 2));
  expect(JSON.parse(toJson(some, rows))).toEqual([{ [some[0]!.id]: rows[0]![0], [some[1]!.id]: rows[0]![1] }]);
  expect(toCsv(some, rows).split('\r\n')).toHaveLength(3);
});

test('sorts by several keys', () => {
  const all = [0, 1, 2];
  expect(sortRows(table, all, '-total_time')).toEqual([2, 0, 1]);
  expect(sortRows(table, all, 'dma,category')).toEqual([1, 2, 0]);
  expect(sortRows(table, all, 'nothing')).toEqual(all);
});

test('written tables keep every digit', () => {
  expect(toCsv(table.columns.slice(0, 2), [['Copy-done "x"', 2.5]])).toBe('HLO op category,Total time (µs)\r\n"Copy-done ""x""",2.5\r\n');
});
