// Fails the build if the page outgrows its budgets, in bytes of gzip: the shell with the first page, and each other page.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const FIRST = 120_000;
const PAGE = 60_000;
const FIRST_PAGE = 'src/pages/overview/Overview.svelte';

const manifest = JSON.parse(readFileSync('dist/web/.vite/manifest.json', 'utf8'));
const size = (file) => gzipSync(readFileSync(`dist/web/${file}`)).length;

/** The files that a chunk needs, itself included. */
function files(key, seen = new Set()) {
  const { file, css = [], imports = [] } = manifest[key];
  for (const name of [file, ...css]) seen.add(name);
  for (const name of imports) if (!seen.has(manifest[name].file)) files(name, seen);
  return seen;
}
const sum = (names) => [...names].reduce((total, name) => total + size(name), 0);

const first = files(FIRST_PAGE, files('index.html'));
let failed = false;
function report(name, bytes, budget) {
  failed ||= bytes > budget;
  console.log(`${bytes > budget ? 'TOO LARGE' : 'ok'}  ${name}: ${(bytes / 1000).toFixed(1)} of ${budget / 1000} kB`);
}
report('shell and first page', sum(first), FIRST);
for (const [key, { isDynamicEntry }] of Object.entries(manifest)) {
  if (isDynamicEntry && key !== FIRST_PAGE) report(key, sum([...files(key)].filter((name) => !first.has(name))), PAGE);
}
process.exitCode = failed ? 1 : 0;
