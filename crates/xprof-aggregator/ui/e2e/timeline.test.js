import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { open } from './browser.js';
import { setup } from './setup.js';

const t = setup();
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RUN = 'tpu_training_4_hosts';

/** Waits until the events in view are drawn and nothing is on its way. */
async function drawn(page) {
  await page.waitForFunction(
    () => performance.getEntriesByName('timeline-first-events').length > 0 && document.querySelector('[data-testid="panel-timeline"][data-state="ready"][data-busy="false"]'),
  );
}

async function visit(query, options = {}) {
  const view = await open(t.browser, options);
  if (options.before) await view.page.addInitScript(options.before);
  await view.page.goto(`${t.root}r/${query}`);
  await drawn(view.page);
  return view;
}

/** Begin and end of the view in ns, as the address says; undefined for the whole trace. */
function span(page) {
  const text = new URL(page.url()).searchParams.get('t');
  return text?.split('~').map(Number);
}

/** Presses a key and waits until the address has another view. */
async function press(page, key) {
  const before = page.url();
  await page.keyboard.press(key);
  await page.waitForURL((url) => url.href !== before);
  return span(page);
}

/** The commonest colour among the boxes, as the canvas has it: a number with red lowest. */
function commonest(page) {
  return page.locator('.rows canvas').first().evaluate((canvas) => {
    const context = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
    context.drawImage(canvas, 0, 0);
    const counts = new Map();
    for (const pixel of new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)) {
      counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1])[0][0] & 0xffffff;
  });
}

/** Pixels of the boxes, without names and lines, that are not of the background's colour. */
async function inked(page) {
  const lines = page.locator('.rows canvas').nth(1);
  await lines.evaluate((canvas) => (canvas.style.visibility = 'hidden'));
  const png = (await page.locator('.rows').screenshot()).toString('base64');
  await lines.evaluate((canvas) => (canvas.style.visibility = ''));
  return page.evaluate(async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    return pixels.length - Math.max(...counts.values());
  }, png);
}

/** The slices and asynchronous pairs of a run as `trace_viewer@` lists them. */
async function listed(run) {
  const { traceEvents } = await (await fetch(`${t.root}data?run=${run}&tag=trace_viewer@&full_dma=true`)).json();
  return traceEvents.filter(({ ph }) => ph === 'X' || ph === 'b');
}

test('W, S, A and D travel, 0 goes back', async () => {
  const { page, faults, close } = await visit(`${RUN}/timeline`);
  assert.equal(span(page), undefined);
  const [from, to] = await press(page, 'w');
  const right = await press(page, 'd');
  assert.ok(right[0] > from && right[1] > to, `${right} is right of ${from}~${to}`);
  const left = await press(page, 'a');
  assert.ok(left[0] < right[0] && left[1] < right[1], `${left} is left of ${right}`);
  const wide = await press(page, 's');
  assert.ok(wide === undefined || wide[1] - wide[0] > to - from, `${wide} is wider than ${from}~${to}`);
  await press(page, 'w');
  assert.equal(await press(page, '0'), undefined);
  assert.deepEqual(faults, []);
  await close();
});

test('keys do not act while somebody types', async () => {
  const { page, close } = await visit('jax_cpu_mlp/timeline');
  await page.keyboard.press('/');
  await page.keyboard.type('wasd');
  await page.waitForURL(/[?&]q=wasd/);
  assert.equal(span(page), undefined);
  await close();
});

test('the wheel zooms around the pointer and moves', async () => {
  const { page, close } = await visit('jax_cpu_mlp/timeline');
  const box = await page.getByRole('application').boundingBox();
  await page.mouse.move(box.x + box.width / 4, box.y + 100);
  await page.keyboard.down('Control');
  const before = page.url();
  await page.mouse.wheel(0, -400);
  await page.waitForURL((url) => url.href !== before);
  await page.keyboard.up('Control');
  const [from, to] = span(page);
  await page.keyboard.down('Shift');
  await page.mouse.wheel(0, 200);
  await page.waitForURL((url) => Number(url.searchParams.get('t')?.split('~')[0]) > from);
  await page.keyboard.up('Shift');
  const moved = span(page);
  assert.ok(Math.abs(moved[1] - moved[0] - (to - from)) < 1, 'it moves without zooming');
  await close();
});

test('the address restores the view', async () => {
  const { page, close } = await visit(`${RUN}/timeline`);
  await press(page, 'w');
  await press(page, 'w');
  const shown = await page.getByTestId('timeline-span').innerText();
  const again = await visit(page.url().split('/r/')[1]);
  assert.equal(await again.page.getByTestId('timeline-span').innerText(), shown);
  assert.deepEqual(span(again.page), span(page));
  assert.ok((await inked(again.page)) > 5000);
  await again.close();
  await close();
});

test('an area is summed up at once, and every event counts', async () => {
  const { page, faults, close } = await visit('jax_cpu_mlp/timeline');
  await page.getByTestId('timeline-sum').click();
  const heading = page.getByTestId('timeline-details').getByRole('heading');
  await heading.waitFor();
  const events = await listed('jax_cpu_mlp');
  const shown = (await heading.innerText()).replace(/[\u202f,]/g, '');
  assert.equal(Number(/(\d+) events? of/.exec(shown)[1]), events.length);
  assert.equal(Number(/of (\d+) names?/.exec(shown)[1]), new Set(events.map(({ name }) => name)).size);
  const all = await heading.innerText();
  // A part of it, by drag: fewer, and the address brings them back.
  const box = await page.getByRole('application').boundingBox();
  await page.keyboard.down('Shift');
  await page.mouse.move(box.x + box.width * 0.2, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 60);
  const old = page.url();
  await page.mouse.move(box.x + box.width * 0.45, box.y + 220);
  await page.mouse.up();
  await page.keyboard.up('Shift');
  await page.waitForURL((url) => url.href !== old && url.searchParams.has('sel'));
  await page.waitForFunction((text) => document.querySelector('[data-testid="timeline-details"] h2').innerText !== text, all);
  const part = await heading.innerText();
  assert.ok(Number(/(\d+) events? of/.exec(part.replace(/[\u202f,]/g, ''))[1]) < events.length, part);
  const again = await visit(page.url().split('/r/')[1]);
  const restored = again.page.getByTestId('timeline-details').getByRole('heading');
  await restored.waitFor();
  assert.equal(await restored.innerText(), part);
  assert.deepEqual(faults, []);
  await again.close();
  await close();
});

test('a search counts all events and steps through them', async () => {
  const { page, faults, close } = await visit('jax_cpu_mlp/timeline');
  const events = (await listed('jax_cpu_mlp')).filter(({ name }) => name.toLowerCase().includes('pjit'));
  assert.ok(events.length > 1);
  await page.keyboard.press('/');
  await page.keyboard.type('pjit');
  await page.keyboard.press('Enter');
  const hits = page.getByTestId('timeline-hits');
  await hits.filter({ hasText: new RegExp(`^\\s*${events.length}\\s*$`) }).waitFor();
  await page.keyboard.press('Enter');
  await hits.filter({ hasText: `1 of ${events.length}` }).waitFor();
  await page.waitForURL(/[?&]e=/);
  await page.getByTestId('inspector').getByRole('heading', { level: 2 }).filter({ hasText: /pjit/i }).waitFor();
  const first = new URL(page.url()).searchParams.get('e');
  await page.keyboard.press('Shift+Enter');
  await hits.filter({ hasText: `${events.length} of ${events.length}` }).waitFor();
  await page.waitForURL((url) => url.searchParams.get('e') !== first);
  await page.goBack();
  await page.waitForURL((url) => !url.searchParams.has('q'));
  assert.deepEqual(faults, []);
  await close();
});

test('an event tells where it lies and leads to other pages', async () => {
  const { page, faults, close } = await visit(`${RUN}/timeline?q=convolution`);
  await page.getByRole('button', { name: 'Next hit' }).click();
  const details = page.getByTestId('inspector');
  await details.getByRole('heading', { name: /convolution/ }).waitFor();
  assert.match(await details.innerText(), /Duration[\s\S]*Row[\s\S]*XLA Ops[\s\S]*Module\s+jit_train_step\(\d+\)/);
  for (const [title, keys] of [['Op tree', /op=convolution/], ['Graph', /m=jit_train_step.*op=convolution/], ['Op table', /f=hlo_op_name:%3D%22convolution/], [/^Ops of /, /f=source_info:%22/]]) {
    const link = await details.getByRole('link', { name: title }).getAttribute('href');
    assert.match(link, keys);
    assert.equal((await fetch(link)).status, 200);
  }
  // The inspector is folded and unfolded; the selection stays.
  await page.getByRole('application').focus();
  await page.keyboard.press('i');
  await details.waitFor({ state: 'detached' });
  await page.keyboard.press('i');
  await details.getByRole('heading', { name: /convolution/ }).waitFor();
  // From event to event on the row.
  const e = new URL(page.url()).searchParams.get('e');
  await page.getByRole('application').focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForURL((url) => url.searchParams.get('e') !== e);
  await page.keyboard.press('Escape');
  await page.waitForURL((url) => !url.searchParams.has('e'));
  assert.equal(await details.count(), 0);
  assert.deepEqual(faults, []);
  await close();
});

test('an event leads to what encloses it, and from the tree its op is found', async () => {
  const { page, faults, close } = await visit(`${RUN}/timeline?q=convolution`);
  await page.getByRole('button', { name: 'Next hit' }).click();
  const details = page.getByTestId('inspector');
  await details.getByRole('heading', { name: /convolution/ }).waitFor();
  const link = details.getByRole('link', { name: 'Op tree' });
  const op = new URL(await link.getAttribute('href')).searchParams.get('op');
  await link.click();
  await page.getByTestId('grid-tree').locator('.rows .row[aria-selected=true]').filter({ hasText: op }).waitFor();
  await details.getByText('Share of time').waitFor();
  assert.deepEqual(faults, []);
  await close();
  const cuda = await visit('cuda_conv_train/timeline?q=triton_softmax_1');
  await cuda.page.getByRole('button', { name: 'Next hit' }).click();
  const flow = cuda.page.getByTestId('inspector').locator('dt', { hasText: /^Flow (to|from)$/ }).first();
  await flow.waitFor();
  const e = new URL(cuda.page.url()).searchParams.get('e');
  await flow.locator('xpath=following-sibling::dd[1]//button').click();
  await cuda.page.waitForURL((url) => url.searchParams.has('e') && url.searchParams.get('e') !== e);
  assert.deepEqual(cuda.faults, []);
  await cuda.close();
});

test('hosts of the address are shown without an error', async () => {
  const { page, faults, close } = await visit(`${RUN}/timeline?h=tpu-host-1,tpu-host-3`);
  const titles = await page.getByRole('list', { name: 'Rows', exact: true }).locator('.label.host').allInnerTexts();
  assert.ok(titles[0].includes('tpu-host-1'));
  await page.getByRole('button', { name: 'Fold all', exact: true }).click();
  await page.waitForURL(/[?&]fold=/);
  const hosts = page.getByRole('list', { name: 'Rows', exact: true }).locator('.label.host');
  await page.waitForFunction(() => document.querySelectorAll('.label.host').length === 2);
  assert.deepEqual((await hosts.allInnerTexts()).map((text) => text.trim()), ['tpu-host-1', 'tpu-host-3']);
  assert.deepEqual(faults, []);
  await close();
});

test('a damaged host costs only its own rows', async () => {
  const { page, close } = await visit('one_of_three_damaged/timeline');
  // Hosts are asked when they come into view.
  await page.getByRole('button', { name: 'Fold all', exact: true }).click();
  const failed = page.locator('.rows').getByRole('alert');
  await failed.waitFor();
  assert.match(await failed.innerText(), /c\.xplane\.pb/);
  assert.equal(await page.locator('.label.process').count(), 2);
  assert.ok((await inked(page)) > 1000);
  await close();
});

test('rows are folded, pinned and moved, and the address knows', async () => {
  const { page, close } = await visit('jax_cpu_mlp/timeline');
  const titles = () => page.getByRole('list', { name: 'Rows', exact: true }).locator('.label.row .title').allInnerTexts();
  const before = await titles();
  const pin = page.getByRole('button', { name: 'Pin python to the top' }).last();
  await pin.focus();
  const place = before.indexOf('python');
  await page.keyboard.press('Alt+ArrowUp');
  await page.waitForURL(/[?&]order=/);
  assert.equal((await titles()).indexOf('python'), place - 1);
  await page.keyboard.press('Enter');
  await page.waitForURL(/[?&]pin=/);
  assert.deepEqual(await page.getByRole('list', { name: 'Pinned rows' }).locator('.title').allInnerTexts(), ['python']);
  await page.getByRole('button', { name: 'Host CPU: fold' }).click();
  await page.waitForURL(/[?&]fold=/);
  assert.deepEqual(await titles(), []);
  const again = await visit(page.url().split('/r/')[1]);
  assert.deepEqual(await again.page.getByRole('list', { name: 'Pinned rows' }).locator('.title').allInnerTexts(), ['python']);
  await again.page.getByRole('button', { name: 'Host CPU: unfold' }).click();
  await again.page.waitForFunction((n) => document.querySelectorAll('.moving .label.row').length === n, before.length);
  await again.close();
  await close();
});

test('a step of the address comes into view', async () => {
  const { page, close } = await visit(`${RUN}/timeline?step=2`);
  await page.waitForURL(/[?&]t=/);
  const whole = await visit(`${RUN}/timeline`);
  const spans = await Promise.all([page, whole.page].map((p) => p.getByTestId('timeline-span').innerText()));
  assert.notEqual(spans[0], spans[1]);
  await whole.close();
  await close();
});

test('it draws without WebGL, and with it', async () => {
  const renderer = (page) => page.getByTestId('panel-timeline').getAttribute('data-renderer');
  const without = await visit('jax_cpu_mlp/timeline', {
    before: () => {
      const get = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind === 'webgl2' ? null : get.call(this, kind, ...rest);
      };
    },
  });
  assert.ok((await inked(without.page)) > 5000);
  assert.equal(await renderer(without.page), 'Canvas 2D');
  assert.deepEqual(without.faults, []);
  const pixels = await inked(without.page);
  await without.close();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
  });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.addInitScript(() => sessionStorage.setItem('timeline-renderer', 'gl'));
  await page.goto(`${t.root}r/jax_cpu_mlp/timeline`);
  await drawn(page);
  assert.equal(await renderer(page), 'WebGL2');
  // Left to itself, the page does not let the processor play a graphics processor, which is slower than a canvas.
  const itself = await context.newPage();
  await itself.goto(`${t.root}r/jax_cpu_mlp/timeline`);
  await drawn(itself);
  assert.match(await itself.evaluate(() => {
    const gl = document.createElement('canvas').getContext('webgl2');
    return gl.getParameter(gl.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL);
  }), /SwiftShader/);
  assert.equal(await renderer(itself), 'Canvas 2D');
  const byGl = await inked(page);
  assert.ok(Math.abs(byGl - pixels) < pixels * 0.02, `${byGl} pixels beside ${pixels}`);
  await browser.close();
});

test('nobody is shut out, in either theme', async () => {
  for (const theme of ['light', 'dark']) {
    const { page, close } = await visit(`${RUN}/timeline?q=fusion`, { theme });
    await page.getByRole('button', { name: 'Next hit' }).click();
    await page.getByTestId('inspector').getByRole('heading', { level: 2 }).waitFor();
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`));
    assert.deepEqual(violations, [], theme);
    await close();
  }
});

test('without any event, the rows have the colour of the page', async () => {
  for (const [theme, colour] of [['light', 0xffffff], ['dark', 0x1c1715]]) {
    const { page, close } = await open(t.browser, { theme });
    await page.goto(`${t.root}r/damaged/timeline`);
    await page.getByText('host0.xplane.pb is not a readable trace').first().waitFor();
    // A frame later than what was told.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    assert.equal((await commonest(page)).toString(16), colour.toString(16), theme);
    await close();
  }
});
