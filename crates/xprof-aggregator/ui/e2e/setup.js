// What a test file needs: a server over the log directory and a browser, both gone at the end.
import { after, before } from 'node:test';
import { launch, open } from './browser.js';
import { makeLogdir } from './logdir.js';
import { startProxy, startServer } from './server.js';

export function setup(options = {}) {
  /** `intercept` is what the proxy does with a request; a test sets it. */
  const t = { intercept: () => false };
  before(async () => {
    t.logdir = makeLogdir(options);
    t.server = await startServer(t.logdir.path);
    t.proxy = await startProxy(t.server, '/a/b/', (...args) => t.intercept(...args));
    t.browser = await launch();
    t.root = t.server.root;
  });
  after(async () => {
    await t.browser?.close();
    await t.proxy?.stop();
    await t.server?.stop();
    t.logdir?.remove();
  });
  /** A fresh profile at an address below the root. */
  t.visit = async (place, options = {}) => {
    const view = await open(t.browser, options);
    await view.page.goto((options.root ?? t.root) + place);
    return view;
  };
  return t;
}
