import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { settled } from './browser.js';
import { setup } from './setup.js';

const t = setup();
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RUN = 'tpu_training_4_hosts';

/** What axe-core finds in a page as it is now, one line for each. */
async function violations(page) {
  // Through the debugger's protocol: the page's policy allows no code from a test either.
  const has = await page.evaluate(() => 'axe' in window);
  if (!has) await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(' ')} ${n.failureSummary?.split('\n')[1] ?? ''}`));
}

for (const theme of ['light', 'dark']) {
  test(`no page has a violation in the ${theme} theme`, async () => {
    const { page, faults, close } = await t.visit(`r/${RUN}/overview`, { theme });
    await settled(page);
    const places = await page.locator('nav a').evaluateAll((links) => links.map((a) => a.href));
    for (const place of [...places, t.root, `${t.root}r/one_of_three_damaged/overview`, `${t.root}r/nothing/overview`]) {
      await page.goto(place);
      await settled(page, ['ready', 'empty', 'partial', 'error']);
      assert.deepEqual(await violations(page), [], `${place} ${theme}`);
    }
    // That a run is unknown is told by a 404, which the browser logs.
    assert.deepEqual(faults.filter((fault) => !fault.includes('run=nothing&')), []);
    await close();
  });

  test(`no dialog has a violation in the ${theme} theme`, async () => {
    const { page, close } = await t.visit(`r/${RUN}/ops`, { theme });
    await settled(page);
    for (const open of [() => page.getByTestId('run').click(), () => page.getByTestId('hosts').click(), () => page.keyboard.press('Control+k'), () => page.keyboard.press('?')]) {
      await open();
      await page.locator('dialog[open]').waitFor();
      assert.deepEqual(await violations(page), [], String(open));
      await page.keyboard.press('Escape');
      await page.locator('dialog[open]').waitFor({ state: 'detached' });
    }
    await page.getByRole('button', { name: 'Columns' }).click();
    await page.getByTestId('grid-ops').locator('.rows .row').first().click();
    await page.getByTestId('inspector').waitFor();
    assert.deepEqual(await violations(page), []);
    await close();
  });
}

test('by keys alone: every control in order, and the skip link', async () => {
  const { page, close } = await t.visit(`r/${RUN}/ops`);
  await settled(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the page');
  await page.keyboard.press('Enter');
  const reached = [];
  for (let n = 0; n < 10; n++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => document.activeElement?.getAttribute('role') ?? document.activeElement?.localName));
  }
  assert.ok(reached.includes('input') && reached.includes('grid'), reached.join(' '));
  await close();
});
