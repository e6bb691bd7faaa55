// Measures the timeline in a browser: `node e2e/timeline-figures.js LOGDIR RUN [canvas|gl]`. Prints one JSON object.
//
// First events: from navigation, once with a server that has just started (cold) and once again (warm), always a fresh profile.
// Frames: times between frames while W, A, S and D are held in turns, at several depths of zoom, and the share of it that scripts take.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { startServer } from './server.js';

const [logdir, run, renderer = 'canvas'] = process.argv.slice(2);
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SECONDS = 3;

async function visit(browser, root) {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
  const page = await context.newPage();
  await page.addInitScript((kind) => sessionStorage.setItem('timeline-renderer', kind), renderer);
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  const sent = { page: 0, data: 0 };
  const kinds = new Map();
  cdp.on('Network.requestWillBeSent', ({ requestId, request }) => kinds.set(requestId, request.url.includes('tag=timeline') ? 'data' : 'page'));
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => (sent[kinds.get(requestId)] += encodedDataLength));
  await page.goto(`${root}r/${encodeURIComponent(run)}/timeline`);
  await page.waitForFunction(() => performance.getEntriesByName('timeline-first-events').length > 0, undefined, { timeout: 300_000 });
  const firstEventsMs = await page.evaluate(() => performance.getEntriesByName('timeline-first-events')[0].startTime);
  return { page, cdp, context, sent, firstEventsMs };
}

/** Times between frames, in ms, while a key is held. */
async function hold(page, key) {
  await page.keyboard.down(key);
  const times = await page.evaluate(
    (ms) =>
      new Promise((resolve) => {
        const times = [];
        let last = performance.now();
        const end = last + ms;
        const frame = (now) => {
          times.push(now - last);
          last = now;
          if (now < end) requestAnimationFrame(frame);
          else resolve(times.slice(1));
        };
        requestAnimationFrame(frame);
      }),
    SECONDS * 1000,
  );
  await page.keyboard.up(key);
  return times;
}

function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => Number(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(1));
  return { frames: times.length, perSecond: Number(((times.length * 1000) / times.reduce((a, b) => a + b, 0)).toFixed(1)), p50: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1) };
}

/** Memory of the page's process that is its own, in MB. */
async function memory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const sizes = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => {
    const match = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'));
    return Number(match?.[1] ?? 0) / 1000;
  });
  return Math.round(Math.max(...sizes));
}

const args = renderer === 'gl' ? ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'] : ['--no-sandbox', '--disable-gpu'];
const browser = await chromium.launch({ executablePath: EXECUTABLE, args });
const server = await startServer(logdir);
try {
  const cold = await visit(browser, server.root);
  await cold.context.close();
  const { page, context, sent, firstEventsMs, cdp } = await visit(browser, server.root);
  const figures = { run, renderer, firstEventsColdMs: Math.round(cold.firstEventsMs), firstEventsWarmMs: Math.round(firstEventsMs), bytesAtFirst: { ...sent }, frames: {} };
  await page.getByRole('application').focus();
  await cdp.send('Performance.enable');
  const script = async () => (await cdp.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'ScriptDuration').value;
  const before = await script();
  const all = [];
  for (const [name, key] of [['zoom in', 'w'], ['pan right', 'd'], ['pan left', 'a'], ['zoom in deep', 'w'], ['pan deep', 'd'], ['zoom out', 's']]) {
    const times = await hold(page, key);
    all.push(...times);
    figures.frames[name] = summary(times);
  }
  figures.frames.all = summary(all);
  figures.scriptMsPerFrame = Number((((await script()) - before) * 1000 / all.length).toFixed(2));
  figures.bytes = { ...sent };
  figures.pageMemoryMb = await memory(browser);
  await context.close();
  console.log(JSON.stringify(figures, undefined, 1));
} finally {
  await browser.close();
  await server.stop();
}
