// The log directory of the tests: the project's own traces, a generated session, damaged ones, and the corpus where it is.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OWN = ['../../../tests/traces/jax_cpu_mlp', '../../../tests/traces/jax_cuda', process.env.XPROF_DEMO ?? '../../../target/demo'];
const CORPUS = ['../../../../shared/corpus/logdir', '../../../../shared/corpus/logdir_synth'];
const DAMAGED = Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

export const hasCorpus = CORPUS.every((dir) => existsSync(dir));
/** For tests about the corpus's traces. */
export const needsCorpus = { skip: hasCorpus ? false : 'SKIPPED: there is no corpus' };

export function makeLogdir({ extraRuns = 0, copies = 0 } = {}) {
  const logdir = mkdtempSync(join(tmpdir(), 'xprof-ui-'));
  const runs = join(logdir, 'plugins/profile');
  mkdirSync(runs, { recursive: true });
  for (const dir of [...OWN, ...CORPUS].filter((dir) => existsSync(dir))) cpSync(`${dir}/plugins/profile`, runs, { recursive: true });
  const host = readdirSync(`${runs}/jax_cpu_mlp`).find((name) => name.endsWith('.xplane.pb'));
  for (const name of ['a', 'b']) cpSync(`${runs}/jax_cpu_mlp/${host}`, `${runs}/one_of_three_damaged/${name}.xplane.pb`);
  writeFileSync(`${runs}/one_of_three_damaged/c.xplane.pb`, DAMAGED);
  mkdirSync(`${runs}/damaged`);
  writeFileSync(`${runs}/damaged/host0.xplane.pb`, DAMAGED);
  for (let n = 1; n <= copies; n++) cpSync(`${runs}/jax_cpu_mlp`, `${runs}/nightly_2026_03_${String(n).padStart(2, '0')}`, { recursive: true });
  for (let n = 0; n < extraRuns; n++) {
    const run = `${runs}/train_${String(n).padStart(4, '0')}`;
    mkdirSync(run);
    writeFileSync(`${run}/host0.xplane.pb`, '');
  }
  return { path: logdir, remove: () => rmSync(logdir, { recursive: true }) };
}
