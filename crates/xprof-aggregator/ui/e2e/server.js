// Starts the aggregator over a log directory, and a proxy that puts it below a path and can make it slow or broken.
import { spawn } from 'node:child_process';
import { createServer, request } from 'node:http';
import { createServer as listen } from 'node:net';

const PROGRAM = process.env.XPROF_AGGREGATOR ?? '../../../target/debug/xprof-aggregator';

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = listen().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The server's root, and a way to stop it. */
export async function startServer(logdir, args = []) {
  const port = await freePort();
  const child = spawn(PROGRAM, [`--logdir=${logdir}`, `--port=${port}`, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (bytes) => (log = (log + bytes).slice(-4000)));
  const root = `http://127.0.0.1:${port}/`;
  const until = Date.now() + 60_000;
  while (!(await fetch(`${root}version`).then((r) => r.ok, () => false))) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`the aggregator does not answer: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { root, port, stop: () => new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGKILL')) };
}

/** Passes requests below `prefix` on. `intercept` may answer one itself by returning true, or wait. */
export async function startProxy(server, prefix, intercept = () => false) {
  const proxy = createServer(async (asked, answer) => {
    const path = asked.url.startsWith(prefix) ? `/${asked.url.slice(prefix.length)}` : undefined;
    if (path === undefined) return answer.writeHead(404).end();
    if (await intercept(path, asked, answer)) return;
    const passed = request({ host: '127.0.0.1', port: server.port, agent: false, path, method: asked.method, headers: asked.headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => answer.writableFinished || passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const root = `http://127.0.0.1:${proxy.address().port}${prefix}`;
  return { root, stop: () => new Promise((resolve) => { proxy.closeAllConnections(); proxy.close(resolve); }) };
}
