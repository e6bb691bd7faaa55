// XProf's own front end over our server, where its published package is installed.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { launch, open } from './browser.js';
import { makeLogdir } from './logdir.js';
import { startServer } from './server.js';

const VENV = '../../../target/venv/lib';
const python = existsSync(VENV) ? readdirSync(VENV)[0] : '';
const FILES = process.env.XPROF_STATIC ?? `${VENV}/${python}/site-packages/xprof/static`;
const needsXprof = { skip: existsSync(`${FILES}/index.html`) ? false : 'SKIPPED: xprof==2.24.2 is not installed in target/venv' };

/** Programs are chosen on the page, so its first request is for them. */
const FIRST_REQUEST = { graph_viewer: /module_list\?/, memory_viewer: /module_list\?/ };
/**
 * What goes wrong over XProf's own server too: its chart library comes from elsewhere, it has no icon, and it takes a list of
 * hosts for a text.
 */
const ITS_OWN = [/google|gstatic|ERR_NAME_NOT_RESOLVED|left the machine|charts/i, /favicon\.ico/, /split is not a function[^]*navigateWithUrl/];

test('every page of XProf loads its data without an error', needsXprof, async () => {
  const logdir = makeLogdir();
  const server = await startServer(logdir.path, [`--ui_dir=${FILES}`]);
  const browser = await launch();
  try {
    const ask = async (route) => (await fetch(server.root + route)).json();
    const answered = await ask('tools');
    let visited = 0;
    for (const run of ['tpu_training_4_hosts', 'jax_cpu_mlp']) {
      for (const tool of (await ask(`run_tools?run=${run}`)).filter((tool) => answered.includes(tool))) {
        const [{ hostname }] = await ask(`hosts?run=${run}&tag=${tool}`);
        const { page, faults, close } = await open(browser);
        const failed = [];
        page.on('response', (response) => response.url().startsWith(server.root) && response.status() >= 400 && failed.push(`${response.status()} ${response.url()}`));
        const wanted = FIRST_REQUEST[tool] ?? new RegExp(`/data\\?.*tag=${tool.replace('@', '(@|%40)')}`);
        const data = page.waitForResponse((response) => wanted.test(response.url()));
        await page.goto(`${server.root}data/plugin/profile/${tool}?run=${run}&tag=${tool}&host=${hostname}`);
        assert.equal((await data).status(), 200, `${run} ${tool}`);
        await page.waitForLoadState('networkidle');
        assert.deepEqual(failed, [], `${run} ${tool}`);
        assert.deepEqual(faults.filter((fault) => !ITS_OWN.some((known) => known.test(fault))), [], `${run} ${tool}`);
        assert.doesNotMatch(await page.locator('body').innerText(), /No profile data was found/, `${run} ${tool}`);
        visited += 1;
        await close();
      }
    }
    assert.ok(visited >= 15, `${visited} pages`);
  } finally {
    await browser.close();
    await server.stop();
    logdir.remove();
  }
});
