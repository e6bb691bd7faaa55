import { expect, test } from 'vitest';
import { bytes, delta, duration, middle, number, percent, plural } from './format';

test('numbers have four digits that matter', () => {
  for (const [value, text] of [
    [0, '0'], [1234.5678, '1235'], [12345.678, '12\u202f346'], [0.0123456, '0.01235'], [-3.14159, '−3.142'],
    [1234567, '1\u202f234\u202f567'], [NaN, '–'], [-Infinity, '–'], [2.2e-308, '2.20e-308'],
  ] as const) {
    expect(number(value)).toBe(text);
  }
});

test('units follow the size', () => {
  expect(duration(1_500_000)).toBe('1.5 ms');
  expect(duration(0)).toBe('0 ns');
  expect(bytes(0)).toBe('0 B');
  expect(bytes(3 * 2 ** 30)).toBe('3 GiB');
  expect(percent(86.5)).toBe('86.5%');
  expect(percent(0.01)).toBe('<0.1%');
  expect(percent(0)).toBe('0.0%');
  expect(plural(1, 'host') + plural(2, 'host')).toBe('1 host2 hosts');
});

test('changes carry a sign', () => {
  expect([delta(0.5), delta(-0.25), delta(0), delta(NaN)]).toEqual(['▲ +50.0%', '▼ −25.0%', '= 0%', '']);
});

test('names keep their end', () => {
  expect(middle('loop_multiply_fusion.1234', 16)).toBe('loop_multi….1234');
  expect(middle('short', 16)).toBe('short');
});
