import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { settled } from './browser.js';
import { needsCorpus } from './logdir.js';
import { setup } from './setup.js';

const t = setup();
const grid = (page, name) => page.getByTestId(`grid-${name}`);
const rowCount = async (page, name) => Number(await grid(page, name).getByRole('grid').getAttribute('aria-rowcount')) - 3;

test('the op table has the rows and shares of the reference', needsCorpus, async () => {
  const { page, close } = await t.visit('r/tpu_inference_2/ops?g=category');
  await settled(page);
  const groups = await grid(page, 'ops').locator('.row.header').allInnerTexts();
  const share = (name) => groups.find((g) => g.includes(name)) ?? '';
  assert.match(share('copy-done'), /96\.5%/);
  assert.match(share('loop fusion'), /3\.1%/);
  await page.goto(`${t.root}r/tpu_inference_2/ops`);
  await settled(page);
  assert.equal(await rowCount(page, 'ops'), 17);
  await close();
});

test('sort, filter and columns are in the address, and the export is what is shown', async () => {
  const { page, asked, close } = await t.visit('r/tpu_training_4_hosts/ops');
  await settled(page);
  asked.length = 0;
  const all = await rowCount(page, 'ops');
  await grid(page, 'ops').getByRole('columnheader', { name: /Occurrences/ }).getByRole('button').click();
  await page.waitForURL(/[?&]s=-occurrences/);
  const at = (await grid(page, 'ops').getByRole('columnheader').allInnerTexts()).findIndex((title) => /category/.test(title));
  const category = await grid(page, 'ops').locator('.rows .row').first().locator('.cell').nth(at).innerText();
  await page.keyboard.press('/');
  await page.keyboard.type(`category:"=${category}"`);
  await page.waitForURL((url) => url.searchParams.get('f')?.endsWith('"'));
  await grid(page, 'ops').getByTestId('count').getByText(/^[1-9]\d* of/).waitFor();
  const some = await rowCount(page, 'ops');
  assert.ok(some > 0 && some < all, `${some} of ${all}`);
  const [download] = await Promise.all([page.waitForEvent('download'), grid(page, 'ops').getByRole('button', { name: 'CSV' }).click()]);
  const csv = readFileSync(await download.path(), 'utf8');
  const shownColumns = await grid(page, 'ops').getByRole('columnheader').count();
  assert.equal(csv.trimEnd().split('\r\n').length, some + 1);
  assert.equal(csv.split('\r\n')[0].split(',').length, shownColumns);
  const [json] = await Promise.all([page.waitForEvent('download'), grid(page, 'ops').getByRole('button', { name: 'JSON' }).click()]);
  const objects = JSON.parse(readFileSync(await json.path(), 'utf8'));
  assert.equal(objects.length, some);
  assert.equal(objects[0].category, category);
  assert.equal(Object.keys(objects[0]).length, shownColumns);

  assert.deepEqual(asked.filter((url) => !url.startsWith('blob:')), [], 'the server has answered already');

  // The same address in a fresh profile shows the same.
  const again = await t.visit(page.url().slice(t.root.length));
  await settled(again.page);
  assert.equal(await rowCount(again.page, 'ops'), some);
  assert.equal(await grid(again.page, 'ops').locator('.rows .row').first().innerText(), await grid(page, 'ops').locator('.rows .row').first().innerText());
  await again.close();
  await close();
});

test('cells are reached by keys, and Enter opens the inspector', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/ops');
  await settled(page);
  await grid(page, 'ops').getByRole('grid').focus();
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'End']) await page.keyboard.press(key);
  const active = await grid(page, 'ops').getByRole('grid').getAttribute('aria-activedescendant');
  assert.match(active, /^ops-2-\d+$/);
  await page.keyboard.press('Home');
  await page.keyboard.press('Enter');
  await page.getByTestId('inspector').waitFor();
  await page.keyboard.press('Control+c');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(copied.split('\t').length > 5, copied);
  await page.keyboard.press('i');
  await page.getByTestId('inspector').waitFor({ state: 'detached' });
  await close();
});

test('a wrong pattern is told and filters nothing', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/ops?f=%2F(%2F');
  await settled(page);
  assert.match(await grid(page, 'ops').getByTestId('count').innerText(), /is not a pattern/);
  assert.ok((await rowCount(page, 'ops')) > 0);
  await close();
});

test('a hundred thousand rows are quick and few elements', async () => {
  const cols = [['rank', 'Rank', 'number'], ['category', 'HLO op category', 'string'], ['hlo_op_name', 'HLO op name', 'string'], ['total_self_time', 'Total self time (us)', 'number']];
  const rows = Array.from({ length: 100_000 }, (_, i) => ({ c: [{ v: i }, { v: i % 2 ? 'copy' : 'loop fusion' }, { v: `<img src=x onerror=alert(1)>.${i}` }, { v: (i * 7919) % 10007 }] }));
  const body = JSON.stringify([{ cols: cols.map(([id, label, type]) => ({ id, label, type })), rows }]);
  const { page, faults, close } = await t.visit('');
  await page.route(/tag=hlo_stats/, (route) => route.fulfill({ contentType: 'application/json', body }));
  await page.goto(`${t.root}r/tpu_training_4_hosts/ops`);
  await settled(page);
  assert.equal(await rowCount(page, 'ops'), 100_000);
  assert.ok((await page.locator('[role=row]').count()) <= 200);
  await grid(page, 'ops').getByRole('grid').focus();
  await page.keyboard.press('Control+End');
  await grid(page, 'ops').locator('[aria-rowindex="100002"]').waitFor();
  // Text of a trace is text.
  assert.equal(await page.locator('main img').count(), 0);
  assert.deepEqual(faults, []);
  await close();
});
