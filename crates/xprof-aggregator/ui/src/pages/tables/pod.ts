/** The pod viewer's answer, which is no table, as one: a row for each step of each core. */

import type { DataTable } from '../../lib/table';

interface Pod {
  readonly podStatsSequence: { readonly podStatsMap: readonly { readonly stepNum: number; readonly podStatsPerCore: Readonly<Record<string, Core>> }[] };
  readonly stepBreakdownEvents: readonly { readonly id: number; readonly name: string }[];
}

interface Core {
  readonly hostName: string;
  readonly chipId: number;
  readonly nodeId: number;
  readonly totalDurationUs: number;
  readonly bottleneck: string;
  readonly stepBreakdownUs: Readonly<Record<string, number>>;
}

export function podTable({ podStatsSequence, stepBreakdownEvents: parts }: Pod): DataTable {
  const text = (id: string, label: string) => ({ id, label, type: 'string' });
  const number = (id: string, label: string) => ({ id, label, type: 'number' });
  return {
    cols: [
      text('host', 'Host'), text('core', 'Core'), number('chip', 'Chip'), number('step', 'Step'), number('total_duration_us', 'Duration (us)'), text('bottleneck', 'Bottleneck'),
      ...parts.map(({ id, name }) => number(`part_total_${id}`, `${name} (us)`)),
    ],
    rows: podStatsSequence.podStatsMap.flatMap(({ stepNum, podStatsPerCore }) =>
      Object.entries(podStatsPerCore).map(([id, core]) => ({
        c: [core.hostName, id, core.chipId, stepNum, core.totalDurationUs, core.bottleneck, ...parts.map((p) => core.stepBreakdownUs[p.id] ?? 0)].map((v) => ({ v })),
      })),
    ),
  };
}
