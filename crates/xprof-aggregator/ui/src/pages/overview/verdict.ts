/** The overview's first sentence: what bounds the run, with the number that decided it. */

import * as format from '../../lib/format';
import { meanStep, numberOf, type Kind, type Overview } from './read';

export interface Verdict {
  readonly title: string;
  readonly why: string;
}

const TITLES: Readonly<Record<Kind, string>> = {
  compute: 'Compute-bound',
  communication: 'Communication-bound',
  host: 'Host-bound',
  input: 'Input-bound',
  output: 'Output-bound',
  idle: 'Mostly idle',
  other: 'Potentially input-bound',
};

const PARTS: Readonly<Record<Kind, string>> = {
  compute: 'device compute',
  communication: 'communication between devices',
  host: 'work of the host',
  input: 'waiting for input',
  output: 'waiting for output',
  idle: 'idle',
  other: 'time that no event of the trace explains: input, output or Python',
};

/** Waiting for input above a fifth of a step is worth more than the rest put together: the device could work. */
const INPUT_BOUND = 20;

export function verdict(o: Overview): Verdict {
  const total = o.steps.totals.reduce((sum, t) => sum + t, 0);
  if (total > 0) return ofSteps(o, total);
  const busy = numberOf(o.props, 'device_duty_cycle_percent');
  const median = o.latency.labels.indexOf('50.0%');
  if (median >= 0) return { title: 'Serving', why: `Half of the requests take ${format.number(o.latency.totals[median]!)} ms or less.` };
  if (busy) {
    const idle = numberOf(o.props, 'device_idle_time_percent') ?? 100 - busy;
    return busy >= 50
      ? { title: 'Devices are busy', why: `${format.percent(busy)} of the profile; no steps are marked, so what bounds them is unknown.` }
      : { title: 'Mostly idle', why: `The devices idle for ${format.percent(idle)} of the profile.` };
  }
  return { title: 'No steps and no device time', why: 'The traces of the chosen hosts hold neither.' };
}

function ofSteps(o: Overview, total: number): Verdict {
  const shares = new Map<Kind, number>();
  for (const part of o.steps.parts) shares.set(part.kind, (shares.get(part.kind) ?? 0) + (part.values.reduce((a, b) => a + b, 0) / total) * 100);
  const input = shares.get('input') ?? 0;
  const [kind, share] = input >= INPUT_BOUND ? (['input', input] as const) : [...shares].sort((a, b) => b[1] - a[1])[0]!;
  const why = `${format.percent(share)} of the mean step (${format.duration(meanStep(o) * 1e6)}) is ${PARTS[kind]}.`;
  const [flops, hbm] = [numberOf(o.props, 'mxu_utilization_percent') ?? 0, numberOf(o.props, 'hbm_utilization_percent') ?? 0];
  if (kind === 'compute' && hbm > flops && hbm >= 50) {
    return { title: 'Memory-bound', why: `${why} Memory bandwidth is used to ${format.percent(hbm)} of its peak, arithmetic to ${format.percent(flops)}.` };
  }
  return { title: TITLES[kind], why };
}
