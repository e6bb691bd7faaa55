/** The overview's tiles: one number each, with what it means, where it leads, and why it may be absent. */

import * as format from '../../lib/format';
import { quantile } from '../../lib/stats';
import type { MemoryPeak } from './memory';
import { meanStep, numberOf, stepDeviation, type Overview } from './read';

export interface Tile {
  readonly key: string;
  readonly title: string;
  /** Absent: `why` says why. */
  readonly value?: number;
  readonly show: (value: number) => string;
  readonly details: readonly string[];
  readonly why?: string;
  /** The page with the evidence. */
  readonly page: string;
  /** The direction of a good change. */
  readonly good: 'up' | 'down' | 'none';
  readonly spark?: readonly number[];
}

/** The peak, or why there is none, and whose it is. */
export interface Memory {
  readonly peak?: MemoryPeak;
  readonly why: string;
  readonly of: string;
}

const NO_STEPS = 'No steps are marked in the traces.';
const NO_OPS = 'The traces have no framework ops.';
const ms = (value: number) => format.duration(value * 1e6);

export function tiles(o: Overview, memory: Memory): Tile[] {
  const isTpu = o.props['hardware_type'] === 'TPU';
  const hasDevices = o.props['hardware_type'] !== 'CPU_ONLY';
  return [step(o), ...(isTpu ? tpu(o) : others(o, hasDevices)), goodput(o), memoryTile(memory), ...frameworkOps(o)];
}

function step(o: Overview): Tile {
  const steps = o.steps.totals;
  const details = steps.length ? [`σ ${ms(stepDeviation(o))}`, `p50 ${ms(quantile(steps, 0.5))}`, `p95 ${ms(quantile(steps, 0.95))}`] : [];
  return {
    key: 'step', title: 'Step time, mean', value: steps.length ? meanStep(o) : undefined, show: ms, page: 'steps', good: 'down',
    details, why: NO_STEPS, spark: steps.length > 2 ? steps : undefined,
  };
}

function tpu(o: Overview): Tile[] {
  const get = (key: string) => numberOf(o.props, key);
  const percent = (title: string, prop: string): Omit<Tile, 'key' | 'details' | 'page'> => ({ title, value: get(prop), show: format.percent, good: 'up' });
  const idle = get('device_idle_time_percent');
  // A counter that is not in the traces reads as zero.
  const counter = (key: string) => get(key) || undefined;
  return [
    {
      key: 'duty', ...percent('Duty cycle', 'device_duty_cycle_percent'), page: 'tree', why: 'The traces have no device lines.',
      details: ['from each chip’s first op to its last', ...(idle === undefined ? [] : [`no op in ${format.percent(idle)} of the whole profile`])],
    },
    {
      key: 'flops', ...percent('FLOPS of peak', ''), value: counter('mxu_utilization_percent'), page: 'roofline', details: ['as the chips counted'],
      why: 'No counters of the matrix units. The op tree has what programs state.',
    },
    {
      key: 'hbm', ...percent('Memory bandwidth of peak', ''), value: counter('hbm_utilization_percent'), page: 'roofline', details: ['as the chips counted'],
      why: 'No counters of memory traffic. The op tree has what programs state.',
    },
  ];
}

function others(o: Overview, hasDevices: boolean): Tile[] {
  const get = (key: string) => numberOf(o.props, key);
  const hasSteps = o.steps.totals.length > 0;
  const perStep = (key: string, title: string, prop: string): Tile => ({
    key, title, value: hasSteps ? get(`${prop}_avg`) : undefined, show: ms, page: hasDevices ? 'kernels' : 'steps', good: 'down',
    details: ['per step', `σ ${ms(get(`${prop}_sdv`) ?? NaN)}`], why: NO_STEPS,
  });
  const [half, full] = [get('device_compute_16bit_percent'), get('device_compute_32bit_percent')];
  return [
    hasDevices ? perStep('compute', 'Device compute', 'device_compute_time_ms') : perStep('compute', 'Host compute', 'host_compute_time_ms'),
    {
      key: 'half', title: '16-bit compute', value: half || full ? half : undefined, show: format.percent, page: 'roofline', good: 'up',
      details: [`32-bit ${format.percent(full ?? NaN)}`], why: 'Only kernels of GPUs state their precision.',
    },
    hasDevices ? perStep('launch', 'Kernel launch', 'kernel_launch_time_ms') : perStep('others', 'Unexplained time', 'other_time_ms'),
  ];
}

/** What the program reports, else the part of the steps in which something was computed. */
function goodput(o: Overview): Tile {
  const common = { key: 'goodput', title: 'Goodput', show: format.percent, page: 'steps', good: 'up' } as const;
  const reported = numberOf(o.props, 'program_goodput_percent');
  if (reported !== undefined) return { ...common, value: reported, details: ['as the program reports'] };
  const total = o.steps.totals.reduce((sum, t) => sum + t, 0);
  // Where there are no devices, the host computes.
  const hasDevices = o.props['hardware_type'] !== 'CPU_ONLY';
  const computes = o.steps.parts.filter((part) => part.kind === 'compute' || (!hasDevices && part.kind === 'host'));
  const spent = computes.flatMap((part) => part.values).reduce((sum, t) => sum + t, 0);
  return { ...common, value: total ? (spent / total) * 100 : undefined, details: [`of the steps, the ${hasDevices ? 'devices' : 'host'} computed`], why: NO_STEPS };
}

function memoryTile({ peak, why, of }: Memory): Tile {
  return {
    key: 'memory', title: 'Memory peak', value: peak?.bytes, show: format.bytes, page: 'buffers', good: 'down', why,
    details: peak ? [...(peak.capacity ? [`${format.percent((peak.bytes / peak.capacity) * 100)} of ${format.bytes(peak.capacity)}`] : []), `allocator ${peak.allocator}${of}`] : [],
  };
}

function frameworkOps(o: Overview): Tile[] {
  const pair = (host: string, device: string) => [host, device].map((key) => format.percent(numberOf(o.props, key) ?? NaN));
  const tile = (key: string, title: string, suffix: string, good: Tile['good'], isMeasured: boolean): Tile => {
    const [host, device] = pair(`host_${suffix}`, `device_${suffix}`);
    return {
      key, title, value: isMeasured ? numberOf(o.props, `device_${suffix}`) : undefined, show: format.percent, good, page: 'framework',
      details: [`host ${host}, device ${device}`], why: NO_OPS,
    };
  };
  const has = !!(numberOf(o.props, 'device_tf_op_percent') || numberOf(o.props, 'host_tf_op_percent'));
  return [tile('placement', 'Op time on devices', 'tf_op_percent', 'none', has), tile('eager', 'Eager on devices', 'op_time_eager_percent', 'down', has)];
}
