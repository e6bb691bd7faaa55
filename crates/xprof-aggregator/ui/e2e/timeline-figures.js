// Measures the timeline in a browser: `node e2e/timeline-figures.js LOGDIR RUN [canvas|gl]`. Prints one JSON object.
//
// First events: from navigation, once with a server that has just started (cold) and once again (warm), always a fresh profile.
// Frames: times between frames while W, A, S and D are held in turns, at several depths of zoom, and the share of it that scripts take.
import { countBytes, launch, memory, travel, VIEWPORT } from './measure.js';
import { startServer } from './server.js';

const [logdir, run, renderer = 'canvas'] = process.argv.slice(2);

async function visit(browser, root) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const page = await context.newPage();
  await page.addInitScript((kind) => sessionStorage.setItem('timeline-renderer', kind), renderer);
  const cdp = await context.newCDPSession(page);
  const sent = await countBytes(cdp, (url) => url.includes('tag=timeline'));
  await page.goto(`${root}r/${encodeURIComponent(run)}/timeline`);
  await page.waitForFunction(() => performance.getEntriesByName('timeline-first-events').length > 0, undefined, { timeout: 300_000 });
  const firstEventsMs = await page.evaluate(() => performance.getEntriesByName('timeline-first-events')[0].startTime);
  return { page, cdp, context, sent, firstEventsMs };
}

const browser = await launch(renderer === 'gl' ? ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'] : ['--disable-gpu']);
const server = await startServer(logdir);
try {
  const cold = await visit(browser, server.root);
  await cold.context.close();
  const { page, context, sent, firstEventsMs, cdp } = await visit(browser, server.root);
  const figures = { run, renderer, firstEventsColdMs: Math.round(cold.firstEventsMs), firstEventsWarmMs: Math.round(firstEventsMs), bytesAtFirst: { ...sent } };
  await page.getByRole('application').focus();
  await cdp.send('Performance.enable');
  const script = async () => (await cdp.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'ScriptDuration').value;
  const before = await script();
  figures.frames = await travel(page);
  figures.scriptMsPerFrame = Number((((await script()) - before) * 1000 / figures.frames.all.frames).toFixed(2));
  figures.bytes = { ...sent };
  figures.pageMemoryMb = await memory(browser);
  await context.close();
  console.log(JSON.stringify(figures, undefined, 1));
} finally {
  await browser.close();
  await server.stop();
}
