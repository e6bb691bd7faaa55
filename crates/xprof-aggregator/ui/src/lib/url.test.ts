import { expect, test } from 'vitest';
import { change, format, hostsKey, hostsOf, parse, shared } from './url';

test('addresses are read and written', () => {
  for (const address of ['r/run/timeline', 'r/a%2Fb/overview?h=x%252C1,y&s=-time,rank', 'r/r/ops?f=a+b%26c'.replace('+', '%20')]) {
    expect(format(parse(address)!)).toBe(address);
  }
  expect(parse('r/a/b/timeline')).toEqual({ run: 'a/b', page: 'timeline', view: {} });
  expect(parse('r/run')).toEqual({ run: 'run', page: 'overview', view: {} });
  expect(parse('?tool=overview_page')).toBeUndefined();
  expect(parse('r/100%25/x')!.run).toBe('100%');
});

test('equal views have equal addresses', () => {
  expect(format({ run: 'r', page: 'p', view: { s: '1', f: '', a: '2' } })).toBe('r/r/p?a=2&s=1');
});

test('hosts may have commas', () => {
  const hosts = ['a,b', 'c%2C', 'd'];
  expect(hostsOf({ h: hostsKey(hosts) })).toEqual(hosts);
  expect(hostsOf({})).toEqual([]);
});

test('changes take keys away', () => {
  expect(change({ a: '1', b: '2' }, { a: undefined, b: '', c: '3' })).toEqual({ c: '3' });
  expect(shared({ h: 'x', s: '1', vs: 'b' })).toEqual({ h: 'x', vs: 'b' });
});
