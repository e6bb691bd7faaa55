/** The overview's tiles: one number each, with what it means, where it leads, and why it may be absent. */

import * as format from '../../lib/format';
import { quantile } from '../../lib/stats';
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

const ms = (value: number) => format.duration(value * 1e6);

export function tiles(o: Overview): Tile[] {
  const get = (key: string) => numberOf(o.props, key);
  const isTpu = o.props['hardware_type'] === 'TPU';
  const percentTile = (key: string, title: string, page: string, good: Tile['good'], prop: string, why: string, details: readonly string[] = []): Tile => ({
    key, title, value: get(prop), show: format.percent, details, why, page, good,
  });
  const pair = (host: string, device: string) => `host ${format.percent(get(host) ?? NaN)}, device ${format.percent(get(device) ?? NaN)}`;
  const steps = o.steps.totals;
  return [
    {
      key: 'step', title: 'Step time, mean', value: steps.length ? meanStep(o) : undefined, show: ms, page: 'steps', good: 'down',
      details: steps.length
        ? [`σ ${ms(stepDeviation(o))}`, `p50 ${ms(quantile(steps, 0.5))}`, `p95 ${ms(quantile(steps, 0.95))}`]
        : [],
      why: 'No steps are marked in the traces.', spark: steps.length > 2 ? steps : undefined,
    },
    isTpu
      ? percentTile('duty', 'Device duty cycle', 'tree', 'up', 'device_duty_cycle_percent', 'The traces have no device lines.', [`idle ${format.percent(get('device_idle_time_percent') ?? NaN)}`])
      : {
          key: 'compute', title: 'Device compute', value: steps.length ? get('device_compute_time_ms_avg') : undefined, show: ms, page: 'kernels', good: 'down',
          details: ['per step', `σ ${ms(get('device_compute_time_ms_sdv') ?? NaN)}`], why: 'No steps are marked in the traces.',
        },
    isTpu
      ? percentTile('flops', 'FLOPS of peak', 'roofline', 'up', 'mxu_utilization_percent', 'The programs state no FLOPs.', [`of the roofline ${format.percent(get('flop_rate_utilization_relative_to_roofline') ?? NaN)}`])
      : percentTile('half', '16-bit compute', 'roofline', 'up', 'device_compute_16bit_percent', 'Only traces of GPUs state the precision of their kernels.', [`32-bit ${format.percent(get('device_compute_32bit_percent') ?? NaN)}`]),
    isTpu
      ? percentTile('hbm', 'Memory BW of peak', 'roofline', 'up', 'hbm_utilization_percent', 'The programs state no bytes.')
      : { key: 'launch', title: 'Kernel launch', value: steps.length ? get('kernel_launch_time_ms_avg') : undefined, show: ms, details: ['per step', `σ ${ms(get('kernel_launch_time_ms_sdv') ?? NaN)}`], why: 'No steps are marked in the traces.', page: 'kernels', good: 'down' },
    {
      key: 'placement', title: 'Op time on devices', value: get('device_tf_op_percent'), show: format.percent, good: 'none', page: 'framework',
      details: [pair('host_tf_op_percent', 'device_tf_op_percent')], why: 'The traces have no framework ops.',
    },
    {
      key: 'eager', title: 'Eager on devices', value: get('device_op_time_eager_percent'), show: format.percent, good: 'down', page: 'framework',
      details: [pair('host_op_time_eager_percent', 'device_op_time_eager_percent')], why: 'The traces have no framework ops.',
    },
  ];
}
