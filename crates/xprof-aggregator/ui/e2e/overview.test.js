import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from './browser.js';
import { needsCorpus } from './logdir.js';
import { setup } from './setup.js';

const t = setup();
const text = (page, id) => page.getByTestId(id).innerText();

test('a TPU inference run', needsCorpus, async () => {
  const { page, faults, close } = await t.visit('r/tpu_inference_2/overview');
  await settled(page);
  assert.match(await text(page, 'tile-duty'), /86\.5%/);
  assert.match(await text(page, 'tile-placement'), /host 0\.3%, device 99\.7%/);
  assert.match(await text(page, 'panel-environment'), /TPU v6 Lite[\s\S]*Cores\s*4/);
  assert.equal(await page.getByTestId('remark').count(), 1);
  assert.match(await text(page, 'tile-step'), /No steps are marked/);
  assert.deepEqual(faults, []);
  await close();
});

test('a CPU training run with steps', needsCorpus, async () => {
  const { page, close } = await t.visit('r/jax_cpu_mlp_train/overview');
  await settled(page);
  assert.match(await text(page, 'tile-step'), /43\.7 ms\s*σ 18\.9 ms/);
  assert.match(await text(page, 'chart-steps'), /10 steps/);
  await page.getByLabel('as a table').check();
  assert.equal(await page.getByTestId('grid-steps').getByRole('grid').getAttribute('aria-rowcount'), '13');
  await close();
});

test('what was not measured is never shown as nan', needsCorpus, async () => {
  const { page, close } = await t.visit('r/tf_gpu_multi_worker/overview');
  await settled(page);
  assert.doesNotMatch(await page.locator('body').innerText(), /\bnan\b/i);
  await close();
});

test('tiles lead to pages that work', async () => {
  const { page, faults, close } = await t.visit('r/tpu_training_4_hosts/overview');
  await settled(page);
  const links = await page.locator('[data-testid^="tile-"]').evaluateAll((tiles) => tiles.map((a) => a.href));
  assert.ok(links.length >= 6);
  for (const link of new Set(links)) assert.equal((await fetch(link)).status, 200, link);
  await page.getByTestId('tile-flops').click();
  await settled(page);
  assert.match(page.url(), /\/r\/tpu_training_4_hosts\/roofline$/);
  assert.equal(await page.locator('h1').innerText(), 'Roofline');
  assert.deepEqual(faults, []);
  await close();
});

test('a step is selected by mouse and by keys', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/overview');
  await settled(page);
  const plot = page.getByTestId('chart-steps').getByRole('slider');
  const box = await plot.boundingBox();
  await page.mouse.click(box.x + 80, box.y + 100);
  await page.waitForURL(/[?&]step=/);
  await page.goBack().catch(() => {});
  await page.goto(`${t.root}r/tpu_training_4_hosts/overview`);
  await settled(page);
  await plot.focus();
  await page.keyboard.press('End');
  const marked = await plot.getAttribute('aria-valuetext');
  await page.keyboard.press('Enter');
  await page.waitForURL(/[?&]step=/);
  assert.equal(new URL(page.url()).searchParams.get('step'), marked.split(':')[0]);
  await close();
});

test('eight tiles: what is not measured says why', async () => {
  const { page, faults, close } = await t.visit('r/tpu_training_4_hosts/overview');
  await settled(page);
  assert.equal(await page.locator('[data-testid^="tile-"]').count(), 8);
  const rounded = (value) => `${value.toFixed(1)}%`;
  const [, steps] = await (await fetch(`${t.root}data?run=tpu_training_4_hosts&tag=overview_page&host=ALL_HOSTS`)).json();
  const at = (id) => steps.cols.findIndex((c) => c.id === id);
  const sum = (ids) => steps.rows.reduce((total, { c }) => ids.reduce((part, id) => part + c[at(id)].v, total), 0);
  const [computed, all] = [sum(['tcComputeTimeMs']), sum(['tcComputeTimeMs', 'tcInfeedTimeMs', 'tcOutfeedTimeMs', 'tcIdleTimeMs', 'hostTransferTimeMs'])];
  assert.match(await text(page, 'tile-goodput'), new RegExp(rounded((computed / all) * 100)));
  assert.match(await text(page, 'tile-duty'), /first op to its last[^]*no op in [\d.]+% of the whole profile/);
  assert.match(await text(page, 'tile-flops'), /No counters of the matrix units/);
  const answered = await (await fetch(`${t.root}tools`)).json();
  if (!answered.includes('memory_profile')) assert.match(await text(page, 'tile-memory'), /does not answer memory_profile/);
  assert.deepEqual(faults, []);
  await close();
});

test('the memory peak is what the memory profile says', async () => {
  const summary = (peak) => ({ profileSummary: { peakStats: { peakBytesInUse: String(peak) }, memoryCapacity: String(32 * 2 ** 30) } });
  const { page, faults, asked, close } = await t.visit('');
  await page.route(/\/tools$/, (route) => route.fulfill({ contentType: 'application/json', body: '["overview_page", "memory_profile"]' }));
  let profile = JSON.stringify({ memoryProfilePerAllocator: { 0: summary(8 * 2 ** 30), 1: summary(20 * 2 ** 30) }, numHosts: 1 });
  await page.route(/tag=memory_profile/, (route) => route.fulfill({ contentType: 'application/json', body: profile }));
  await page.goto(`${t.root}r/tpu_training_4_hosts/overview`);
  await page.getByTestId('tile-memory').getByText('20 GiB').waitFor();
  assert.match(await text(page, 'tile-memory'), /62\.5% of 32 GiB[^]*allocator 1 of host tpu-host-0/);
  assert.equal(asked.filter((url) => url.includes('tag=memory_profile')).length, 1);
  profile = '';
  await page.reload();
  await page.getByTestId('tile-memory').getByText('no events of a memory allocator').waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test('a baseline gives every tile a change', async () => {
  const { page, close } = await t.visit('r/tpu_training_4_hosts/overview?vs=tpu_training_4_hosts');
  await settled(page);
  await page.getByTestId('tile-step').getByText('= 0%').waitFor();
  await page.getByRole('button', { name: 'Stop comparing' }).click();
  await page.waitForURL(/overview$/);
  await close();
});
