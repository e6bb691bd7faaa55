// Measures XProf's own viewer as timeline-figures.js measures ours: `XPROF=…/bin/xprof node e2e/xprof-figures.js LOGDIR RUN`.
// Prints one JSON object.
//
// XProf writes beside traces, so LOGDIR should be a copy; one that it has not seen yet, or the first visit is not cold.
// First events: its answer has arrived, and four frames later it is on the screen; the page says nothing itself.
// The viewer lives in a frame of the page, and there its frames are counted; keys need a click into it.
import { spawn } from 'node:child_process';
import { countBytes, launch, memory, travel, VIEWPORT } from './measure.js';
import { freePort } from './server.js';

const [logdir, run] = process.argv.slice(2);
const PROGRAM = process.env.XPROF ?? '../../../target/venv/bin/xprof';
const PATIENCE = 300_000;
const TOOL = 'trace_viewer@';

async function startXprof() {
  const [port, grpc] = [await freePort(), await freePort()];
  const child = spawn(PROGRAM, ['server', `--logdir=${logdir}`, `--port=${port}`, `--grpc_port=${grpc}`], { stdio: 'ignore' });
  const failed = new Promise((_, reject) => child.once('error', (e) => reject(new Error(`${PROGRAM} does not start: ${e.message}`))));
  const root = `http://127.0.0.1:${port}/`;
  const until = Date.now() + 60_000;
  const answers = () => fetch(`${root}data/plugin/profile/runs`).then((r) => r.ok, () => false);
  while (!(await Promise.race([answers(), failed]))) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`${PROGRAM} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { root, stop: () => child.kill('SIGTERM') };
}

async function visit(browser, root) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const page = await context.newPage();
  const sent = await countBytes(await context.newCDPSession(page), (url) => url.includes('/data?'));
  const answered = page.waitForEvent('requestfinished', { predicate: (request) => request.url().includes('/data?') && /tag=trace_viewer/.test(request.url()), timeout: PATIENCE });
  const began = performance.now();
  await page.goto(`${root}data/plugin/profile/${TOOL}?run=${encodeURIComponent(run)}&tag=${TOOL}`, { timeout: PATIENCE });
  await answered;
  const frame = page.frames().find((f) => f.url().includes('trace_viewer_index'));
  await frame.evaluate(() => new Promise((done) => {
    let left = 4;
    const next = () => (left-- ? requestAnimationFrame(next) : done());
    next();
  }));
  return { context, page, frame, sent, firstEventsMs: Math.round(performance.now() - began) };
}

// It asks for its charts elsewhere, and waits for them.
const browser = await launch(['--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']);
const server = await startXprof();
try {
  const cold = await visit(browser, server.root);
  await cold.context.close();
  const { context, page, frame, sent, firstEventsMs } = await visit(browser, server.root);
  const figures = { run, viewer: TOOL, firstEventsColdMs: cold.firstEventsMs, firstEventsWarmMs: firstEventsMs, bytesAtFirst: { ...sent } };
  await page.waitForLoadState('networkidle');
  await page.mouse.click(VIEWPORT.width * 0.55, VIEWPORT.height / 2);
  figures.frames = await travel(page, frame);
  figures.bytes = { ...sent };
  figures.pageMemoryMb = await memory(browser);
  await context.close();
  console.log(JSON.stringify(figures, undefined, 1));
} finally {
  await browser.close();
  server.stop();
}
