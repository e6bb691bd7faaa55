// The pictures of the documentation: every state, in both themes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled, shoot } from './browser.js';
import { setup } from './setup.js';

const t = setup({ copies: 24 });
const RUN = 'tpu_training_4_hosts';
const MAX_BYTES = 150_000;

/** Waits until the timeline has all that is in view. */
const drawn = (page) => page.waitForSelector('[data-testid="panel-timeline"][data-busy="false"] [data-testid="timeline-span"] b');

/** Where to go, and what to do there. */
const SCENES = {
  runs: { place: '' },
  overview: { place: `r/${RUN}/overview` },
  overview_compare: { place: `r/${RUN}/overview?vs=jax_cpu_mlp` },
  overview_cpu: { place: 'r/jax_cpu_mlp/overview' },
  partial: { place: 'r/one_of_three_damaged/overview' },
  error: { place: 'r/damaged/overview' },
  empty: { place: `r/${RUN}/kernels` },
  loading: { place: `r/${RUN}/overview`, slow: true },
  op_tree: { place: `r/${RUN}/tree`, act: (page) => page.getByTestId('grid-tree').locator('.rows .row').nth(1).click() },
  op_table: { place: `r/${RUN}/ops`, act: (page) => page.getByTestId('grid-ops').locator('.rows .row').nth(2).click() },
  op_table_grouped: { place: `r/${RUN}/ops?g=category` },
  steps: { place: `r/${RUN}/steps` },
  hlo_text: { place: `r/${RUN}/graph` },
  memory_plan: { place: 'r/jax_cpu_mlp/buffers' },
  run_picker: { place: `r/${RUN}/overview`, act: (page) => page.getByTestId('run').click() },
  host_picker: { place: `r/${RUN}/overview`, act: (page) => page.getByTestId('hosts').click() },
  commands: { place: `r/${RUN}/overview`, act: (page) => page.keyboard.press('Control+k') },
  timeline: { place: `r/${RUN}/timeline`, act: drawn },
  timeline_event: { place: 'r/cuda_conv_train/timeline?e=0.0.9&q=conv&t=15650000~16250000', act: drawn },
  timeline_area: { place: `r/${RUN}/timeline?h=tpu-host-0&sel=1051000~1054000~0:2-6&t=1049500~1056000`, act: drawn },
  keys: { place: `r/${RUN}/overview`, act: (page) => page.keyboard.press('?') },
};

for (const theme of ['light', 'dark']) {
  for (const [name, { place, act, slow }] of Object.entries(SCENES)) {
    test(`${name} ${theme}`, async () => {
      let release;
      const held = new Promise((resolve) => (release = resolve));
      t.intercept = async (path) => (slow && path.startsWith('/data?') && (await held), false);
      const { page, close } = await t.visit(place, { theme, width: 1280, height: 800, root: t.proxy.root });
      if (slow) await page.getByTestId('elapsed').first().getByText('1 s').waitFor();
      else await settled(page, ['ready', 'empty', 'partial', 'error']);
      await act?.(page);
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      assert.ok((await shoot(page, `${name}_${theme}`)) <= MAX_BYTES);
      release();
      await close();
    });
  }
}
