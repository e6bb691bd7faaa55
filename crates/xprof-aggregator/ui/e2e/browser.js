// A browser that reaches nothing but this machine, and pages that remember what went wrong in them.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import sharp from 'sharp';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const IMAGES = '../../../docs/images';

// Blocked below the page, so that its cache works as always: routes would turn it off.
const BLOCKED = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1';

export const launch = () => chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox', '--disable-gpu', BLOCKED] });

/** Milliseconds; a loaded machine is slow, not wrong. */
const PATIENCE = 120_000;

/** A page in a fresh profile. `faults` collects console errors, failures in scripts and requests that would leave the machine. */
export async function open(browser, { theme = 'light', width = 1440, height = 900, hang = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce' });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  const asked = [];
  const leaves = (url) => /^(https?|wss?):/.test(url) && new URL(url).hostname !== '127.0.0.1';
  // Nobody answers and nobody refuses, as behind a firewall that drops packets.
  if (hang) await context.route((url) => leaves(url.href), () => {});
  page.on('request', (request) => {
    asked.push(request.url());
    if (leaves(request.url())) faults.push(`left the machine: ${request.url()}`);
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`${message.text()} ${message.location().url}`);
  });
  return { page, faults, asked, close: () => context.close() };
}

/** Waits until every panel of a page is in one of the states. */
export async function settled(page, states = ['ready', 'empty', 'partial']) {
  await page.waitForFunction(
    (states) => {
      const panels = [...document.querySelectorAll('[data-testid^="panel-"]')];
      return panels.length > 0 && panels.every((p) => states.includes(p.dataset.state));
    },
    states,
    { timeout: PATIENCE },
  );
}

/** A picture for the documentation, small enough to live in the repository. */
export async function shoot(page, name) {
  mkdirSync(IMAGES, { recursive: true });
  const path = `${IMAGES}/${name}.png`;
  await page.mouse.move(0, 0);
  const picture = await page.screenshot({ animations: 'disabled', caret: 'hide' });
  const { size } = await sharp(picture).png({ palette: true, colours: 64, effort: 10, dither: 0 }).toFile(path);
  return size;
}
