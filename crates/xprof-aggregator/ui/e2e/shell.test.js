import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from './browser.js';
import { setup } from './setup.js';

const t = setup({ extraRuns: 2000 });
const RUN = 'tpu_training_4_hosts';
test('every page works alone: one origin, no errors, each route asked once', async () => {
  for (const hang of [false, true]) {
    const { page, faults, asked, close } = await t.visit(`r/${RUN}/overview`, { hang });
    await settled(page);
    const places = await page.locator('nav a').evaluateAll((links) => links.map((a) => a.href));
    assert.ok(places.length >= 10);
    for (const place of places) {
      asked.length = 0;
      await page.goto(place);
      await settled(page);
      const answers = asked.filter((url) => !/\/assets\//.test(url));
      assert.deepEqual(answers.filter((url, at) => answers.indexOf(url) !== at), [], place);
      assert.deepEqual([...new Set(asked.map((url) => new URL(url).origin))], [new URL(t.root).origin]);
    }
    assert.deepEqual(faults, []);
    await close();
  }
});

test('the policy forbids inline code, and files are kept by browsers', async () => {
  const index = await fetch(`${t.root}r/${RUN}/overview`);
  const policy = index.headers.get('content-security-policy');
  assert.equal(
    policy,
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'self'",
  );
  assert.equal(index.headers.get('cache-control'), 'no-cache');
  const html = await index.text();
  assert.doesNotMatch(html, /<script(?![^>]* src=)|<style| style=| on\w+=/);
  const again = await fetch(`${t.root}r/${RUN}/overview`, { headers: { 'if-none-match': index.headers.get('etag') } });
  assert.equal(again.status, 304);
  const script = new URL(/src="([^"]+\.js)"/.exec(html)[1], `${t.root}r/`).href.replace('/r/', '/');
  const file = await fetch(script, { headers: { 'accept-encoding': 'gzip, br' } });
  assert.equal(file.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.equal(file.headers.get('content-encoding'), 'br');
});

test('a second visit transfers next to nothing of the page itself', async () => {
  const { page, close } = await t.visit(`r/${RUN}/overview`);
  await settled(page);
  await page.goto(`${t.root}r/${RUN}/ops`);
  await page.goto(`${t.root}r/${RUN}/overview`);
  await settled(page);
  const bytes = await page.evaluate(() =>
    performance.getEntries().filter((e) => e.name.includes('/assets/') || e.entryType === 'navigation').reduce((sum, e) => sum + e.transferSize, 0));
  assert.ok(bytes <= 5000, `${bytes} bytes`);
  await close();
});

test('below a path prefix everything is found', async () => {
  t.intercept = () => false;
  const { page, faults, asked, close } = await t.visit(`r/${RUN}/overview`, { root: t.proxy.root });
  await settled(page);
  await page.getByRole('navigation').getByRole('link', { name: 'Op table' }).click();
  await settled(page);
  assert.equal(page.url(), `${t.proxy.root}r/${RUN}/ops`);
  const csv = await page.getByRole('link', { name: 'All rows as CSV' }).evaluate((a) => a.href);
  assert.equal((await fetch(csv)).headers.get('content-type'), 'text/csv');
  assert.ok(asked.every((url) => url.startsWith(t.proxy.root)), asked.find((url) => !url.startsWith(t.proxy.root)));
  assert.deepEqual(faults, []);
  await close();
});

test('old links land where they meant to', async () => {
  const { page, close } = await t.visit('');
  for (const [old, now] of [
    [`?tool=overview_page&run=${RUN}#profile`, `r/${RUN}/overview`],
    [`data/plugin/profile/hlo_stats?run=${RUN}&tag=hlo_stats&host=ALL_HOSTS&hlo_op_name=fusion.1`, `data/plugin/profile/r/${RUN}/ops?f=hlo_op_name:%3D%22fusion.1%22`],
    [`?tool=graph_viewer&run=${RUN}&module_name=jit_f(1)&node_name=dot.1&graph_width=3`, `r/${RUN}/graph?d=3&m=jit_f(1)&op=dot.1`],
    [`roofline_model/${RUN}?run=${RUN}&tag=roofline_model&host=`, `r/${RUN}/roofline`],
  ]) {
    await page.goto(t.root + old);
    await page.waitForURL(t.root + now);
    await page.locator('h1').waitFor();
  }
  await close();
});

test('two thousand runs are searched by keys', async () => {
  const { page, close } = await t.visit(`r/${RUN}/overview`);
  await settled(page);
  await page.getByTestId('run').click();
  const picker = page.getByTestId('picker-runs');
  await picker.getByTestId('count').getByText(/2.?0\d\d runs/).waitFor();
  assert.ok((await picker.getByRole('option').count()) < 60);
  await page.keyboard.type('train_17 hosts:1');
  assert.match(await picker.getByTestId('count').innerText(), /^100 of/);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/r\/train_1798\/overview/);
  // The dialog gives the focus back.
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('data-testid')), 'run');
  await close();
});

test('keys: pages, commands, help, runs', async () => {
  const { page, close } = await t.visit(`r/${RUN}/overview`);
  await settled(page);
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await page.waitForURL(/\/tree/);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('page kernels');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/kernels/);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('fusion');
  await page.getByRole('option', { name: 'Ops: fusion' }).click();
  await page.waitForURL(/\/ops\?f=fusion$/);
  await page.keyboard.press('g');
  await page.keyboard.press('m');
  await page.waitForURL(/\/buffers/);
  await page.keyboard.press('?');
  await page.getByTestId('help').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('help').waitFor({ state: 'detached' });
  await page.keyboard.press('[');
  await page.waitForURL((url) => !url.pathname.includes(RUN));
  await page.goto(`${t.root}r/${RUN}/ops`);
  await settled(page);
  await page.getByRole('searchbox', { name: /Filter/ }).focus();
  await page.keyboard.type('g o');
  assert.match(page.url(), /\/ops\?f=/, 'keys do not act while typing');
  await close();
});

test('hosts: one is chosen, and the address says so', async () => {
  const { page, asked, close } = await t.visit(`r/${RUN}/ops`);
  await settled(page);
  await page.getByTestId('hosts').click();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  await page.waitForURL(/[?&]h=/);
  await settled(page);
  const host = new URL(page.url()).searchParams.get('h');
  assert.ok(asked.some((url) => url.includes('tag=hlo_stats') && url.includes(`host=${host}`)));
  assert.match(await page.getByTestId('hosts').innerText(), new RegExp(host));
  await close();
});

test('several hosts: every page is about those that are chosen', async () => {
  const { page, asked, close } = await t.visit(`r/${RUN}/ops?h=tpu-host-0,tpu-host-2`);
  await settled(page);
  const url = asked.find((url) => url.includes('tag=hlo_stats'));
  assert.match(url, /among=tpu-host-0%2Ctpu-host-2/);
  // Half of the hosts have half of the occurrences.
  const occurrences = async (query) => {
    const { cols, rows } = await (await fetch(`${t.root}data?run=${RUN}&tag=hlo_stats&host=ALL_HOSTS${query}`)).json();
    const at = cols.findIndex(({ id }) => id === 'occurrences');
    return rows.reduce((sum, { c }) => sum + c[at].v, 0);
  };
  assert.equal(await occurrences('&among=tpu-host-0,tpu-host-2'), (await occurrences('')) / 2);
  const foot = page.getByTestId('grid-ops').locator('.foot');
  const shown = (await foot.innerText()).replace(/\u202f/g, '').split(/\s+/).map(Number);
  assert.ok(shown.includes(await occurrences('&among=tpu-host-0,tpu-host-2')), shown.join(' '));
  for (const place of ['overview', 'tree', 'steps', 'graph', 'buffers']) {
    await page.goto(`${t.root}r/${RUN}/${place}?h=tpu-host-0,tpu-host-2`);
    await settled(page);
  }
  await page.goto(`${t.root}r/${RUN}/ops?h=tpu-host-0,nobody`);
  await settled(page);
  assert.match(await page.getByTestId('panel-ops').innerText(), /1 host of 2 missing:\s*nobody/);
  await close();
});

test('a run tells its device and duration once it was read', async () => {
  const { page, close } = await t.visit('r/jax_cpu_mlp/overview');
  await settled(page);
  const option = (name) => page.getByTestId('picker-runs').getByRole('option').filter({ hasText: name });
  await page.getByTestId('run').click();
  await page.keyboard.type('jax_cpu_mlp');
  await option(/^jax_cpu_mlp\s/).filter({ hasText: /CPU\s+[\d.]+ m?s/ }).first().waitFor();
  await page.getByTestId('picker-runs').getByRole('combobox').fill('train_0001');
  await option('train_0001').filter({ hasText: 'not read yet' }).waitFor();
  await page.getByTestId('picker-runs').getByRole('combobox').fill('device:cpu duration:>0');
  await option(/^jax_cpu_mlp\s/).first().waitFor();
  await page.keyboard.press('Escape');
  await close();
});

test('a slow answer: skeleton at once, seconds counted, cancelled, asked again', async () => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let aborted = false;
  t.intercept = async (path, asked, answer) => {
    if (!path.startsWith('/data?')) return false;
    answer.on('close', () => (aborted ||= !answer.writableEnded));
    await held;
    return false;
  };
  const { page, close } = await t.visit(`r/${RUN}/ops`, { root: t.proxy.root });
  const panel = page.getByTestId('panel-ops');
  await panel.and(page.locator('[data-state=loading]')).waitFor();
  await panel.getByText(/The server reads 4 traces: [1-9] s$/).waitFor();
  await panel.getByRole('button', { name: 'Cancel' }).click();
  await panel.and(page.locator('[data-state=error]')).waitFor();
  await page.waitForFunction(() => document.body.innerText.includes('cancelled'));
  release();
  await panel.getByRole('button', { name: 'Retry' }).click();
  await settled(page);
  assert.ok(aborted, 'the request was aborted');
  await close();
});

test('errors say what happened, with the request, and can be tried again', async () => {
  for (const [how, words] of [
    [(answer) => answer.writeHead(404, { 'x-request-id': 'id-404' }).end('No such thing'), /No such thing[\s\S]*Status 404[\s\S]*id-404/],
    [(answer) => answer.writeHead(500).end('a bug'), /a bug[\s\S]*Status 500/],
    [(answer) => answer.writeHead(200, { 'content-type': 'application/json' }).end('[{"cols": ['), /cannot be read[\s\S]*Status 200/],
    [(answer) => answer.destroy(), /was not reached/],
  ]) {
    let broken = true;
    t.intercept = (path, asked, answer) => broken && path.startsWith('/data?') && (how(answer), true);
    const { page, close } = await t.visit(`r/${RUN}/ops`, { root: t.proxy.root });
    const panel = page.getByTestId('panel-ops');
    await panel.and(page.locator('[data-state=error]')).waitFor();
    assert.match(await panel.innerText(), words);
    broken = false;
    await panel.getByRole('button', { name: 'Retry' }).click();
    await settled(page);
    await close();
  }
});

test('one damaged host of three is named, and the others are shown', async () => {
  const { page, close } = await t.visit('r/one_of_three_damaged/overview');
  await settled(page);
  const panel = page.getByTestId('panel-summary');
  assert.equal(await panel.getAttribute('data-state'), 'partial');
  assert.match(await panel.innerText(), /1 host of 3 missing:\s*c/);
  assert.match(await page.getByTestId('tile-step').innerText(), /ms/);
  await close();
});

test('a run of which nothing can be read says why', async () => {
  const { page, close } = await t.visit('r/damaged/overview');
  await settled(page, ['error', 'empty']);
  assert.match(await page.locator('main').innerText(), /not a readable trace/);
  await close();
});

test('an unknown run is said to be unknown', async () => {
  const { page, close } = await t.visit('r/no%20such%20run/overview');
  await page.getByText('The log directory holds no run of this name').waitFor();
  await close();
});

test('the theme follows the system until one is chosen', async () => {
  const { page, close } = await t.visit(`r/${RUN}/overview`, { theme: 'dark' });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await background(), 'rgb(21, 23, 28)');
  await page.getByTestId('theme').click();
  assert.equal(await background(), 'rgb(255, 255, 255)');
  await page.reload();
  assert.equal(await background(), 'rgb(255, 255, 255)');
  await close();
});

test('no page scrolls sideways at 1024 by 768, nor at twice the size', async () => {
  for (const [width, height] of [[1024, 768], [720, 450]]) {
    for (const place of ['overview', 'tree', 'ops', 'graph']) {
      const { page, close } = await t.visit(`r/${RUN}/${place}`, { width, height });
      await settled(page);
      const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(inner <= outer, `${place} at ${width}: ${inner}`);
      const main = await page.locator('main').evaluate((e) => [e.scrollWidth, e.clientWidth]);
      assert.ok(main[0] <= main[1], `${place} at ${width}: the page is ${main[0]} wide in ${main[1]}`);
      await close();
    }
  }
});

test('twenty addresses show the same in a fresh profile', async () => {
  const states = [
    ...['', '?step=1', '?vs=jax_cpu_mlp'].map((query) => `overview${query}`),
    ...['', '?g=category', '?idle=1&s=waste', '?min=5'].map((query) => `tree${query}`),
    ...['', '?s=-occurrences', '?f=fusion', '?f=occurrences:%3E1&s=category,-total_self_time', '?g=category', '?c=category,hlo_op_name'].map((query) => `ops${query}`),
    ...['', '?tab=1', '?f=Device'].map((query) => `framework${query}`),
    'steps', 'roofline?s=-total_self_time', 'pod?g=host', 'graph?q=fusion',
  ];
  assert.ok(states.length >= 20);
  const shown = async () => {
    const { page, close } = await t.visit('');
    const texts = [];
    for (const state of states) {
      await page.goto(`${t.root}r/${RUN}/${state}`);
      await settled(page);
      texts.push(`${state}\n${await page.locator('main').innerText()}`);
      assert.equal(page.url(), `${t.root}r/${RUN}/${state}`);
    }
    await close();
    return texts;
  };
  const [first, again] = [await shown(), await shown()];
  assert.deepEqual(first, again);
  assert.equal(new Set(first.map((text) => text.slice(text.indexOf('\n')))).size, states.length, 'each state shows something of its own');
});
