import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from './browser.js';
import { needsCorpus } from './logdir.js';
import { setup } from './setup.js';

const t = setup();
const tree = (page) => page.getByTestId('grid-tree');
const rows = async (page) => Number(await tree(page).getAttribute('aria-rowcount')) - 1;

test('the first row has the shares of the reference', needsCorpus, async () => {
  const { page, close } = await t.visit('r/tpu_inference_2/tree');
  await settled(page);
  const cells = await tree(page).locator('.rows .row').first().locator('.n').evaluateAll((cells) => cells.map((c) => Number(c.title).toFixed(2)));
  assert.deepEqual(cells.slice(0, 3), ['99.54', '94.54', '99.48']);
  await close();
});

test('arrows open and close, Enter selects', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/tree');
  await settled(page);
  const before = await rows(page);
  await tree(page).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  assert.ok((await rows(page)) > before);
  await page.keyboard.press('ArrowLeft');
  assert.equal(await rows(page), before);
  await page.keyboard.press('Enter');
  await page.getByTestId('inspector').waitFor();
  await close();
});

test('the grouping is in the address, and back restores it', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/tree');
  await settled(page);
  await page.getByLabel('Group by').selectOption('category');
  await page.waitForURL(/[?&]g=category/);
  await settled(page);
  await page.goBack();
  await page.waitForURL(/tree$/);
  assert.equal(await page.getByLabel('Group by').inputValue(), 'program');
  await close();
});

test('there is no sideways scroll at 1280 pixels', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/tree', { width: 1280 });
  await settled(page);
  const [inner, outer] = await tree(page).evaluate((e) => [e.scrollWidth, e.clientWidth]);
  assert.ok(inner <= outer, `${inner} > ${outer}`);
  await close();
});
