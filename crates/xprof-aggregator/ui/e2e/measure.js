// How a viewer in a browser is measured, whoever made it: frames while a key is held, memory of its process.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

export const VIEWPORT = { width: 1600, height: 1000 };
const SECONDS = 3;

/** The motions of a visit, in order: W, D, A, W, D and S, as both viewers have them. */
export const MOTIONS = [['zoom in', 'w'], ['pan right', 'd'], ['pan left', 'a'], ['zoom in deep', 'w'], ['pan deep', 'd'], ['zoom out', 's']];

export const launch = (args) => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', ...args] });

/** Holds the keys of all motions in turns; frames are counted in `frame`, which is the page itself where it has none. */
export async function travel(page, frame = page) {
  const [frames, all] = [{}, []];
  for (const [name, key] of MOTIONS) {
    const times = await hold(page, frame, key);
    all.push(...times);
    frames[name] = summary(times);
  }
  return { ...frames, all: summary(all) };
}

/** Times between frames, in ms, while a key is held. */
async function hold(page, frame, key) {
  await page.keyboard.down(key);
  const times = await frame.evaluate(
    (ms) =>
      new Promise((resolve) => {
        const times = [];
        let last = performance.now();
        const end = last + ms;
        const next = (now) => {
          times.push(now - last);
          last = now;
          if (now < end) requestAnimationFrame(next);
          else resolve(times.slice(1));
        };
        requestAnimationFrame(next);
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

/** Bytes that came over the wire, by kind: `data` is what the URL of a request says it is, all else `page`. */
export async function countBytes(cdp, isData) {
  await cdp.send('Network.enable');
  const sent = { page: 0, data: 0 };
  const kinds = new Map();
  cdp.on('Network.requestWillBeSent', ({ requestId, request }) => kinds.set(requestId, isData(request.url) ? 'data' : 'page'));
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => (sent[kinds.get(requestId) ?? 'page'] += encodedDataLength));
  return sent;
}

/** Memory of the page's process that is its own (PSS), in MB. */
export async function memory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const sizes = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => {
    const match = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'));
    return Number(match?.[1] ?? 0) / 1000;
  });
  return Math.round(Math.max(...sizes));
}
