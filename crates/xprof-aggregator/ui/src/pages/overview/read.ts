/** Reads the overview's answer: tables by place, properties as numbers, steps as categories. */

import { category, type Category, type CategoryKey } from '../../lib/categories';
import { deviation, mean } from '../../lib/stats';
import type { DataTable } from '../../lib/table';

/** The parts of time that steps are made of. The same part has one colour on all hardware. */
const PARTS: readonly { ids: string[]; title: string; kind: Kind; category: CategoryKey }[] = [
  { ids: ['tcComputeTimeMs', 'deviceComputeTimeMs'], title: 'Device compute', kind: 'compute', category: 'matmul' },
  { ids: ['scv0ComputeTimeMs'], title: 'SparseCore compute', kind: 'compute', category: 'elementwise' },
  { ids: ['deviceToDeviceTimeMs'], title: 'Device to device', kind: 'communication', category: 'movement' },
  { ids: ['deviceCollectivesTimeMs'], title: 'Collectives', kind: 'communication', category: 'collective' },
  { ids: ['hostComputeTimeMs'], title: 'Host compute', kind: 'host', category: 'elementwise' },
  { ids: ['kernelLaunchTimeMs'], title: 'Kernel launch', kind: 'host', category: 'custom' },
  { ids: ['tcInfeedTimeMs', 'infeedTimeMs'], title: 'Waiting for input', kind: 'input', category: 'transfer' },
  { ids: ['scv0InfeedTimeMs'], title: 'SparseCore input', kind: 'input', category: 'reduction' },
  { ids: ['hostTransferTimeMs'], title: 'Host transfer', kind: 'input', category: 'control' },
  { ids: ['tcOutfeedTimeMs', 'outfeedTimeMs'], title: 'Output', kind: 'output', category: 'reduction' },
  { ids: ['compileTimeMs'], title: 'Compilation', kind: 'host', category: 'control' },
  { ids: ['tcIdleTimeMs'], title: 'Idle', kind: 'idle', category: 'idle' },
  { ids: ['otherTimeMs'], title: 'All others', kind: 'other', category: 'rest' },
];

export type Kind = 'compute' | 'communication' | 'host' | 'input' | 'output' | 'idle' | 'other';

export interface Part {
  readonly key: string;
  readonly title: string;
  readonly kind: Kind;
  readonly category: Category;
  /** Milliseconds by step. */
  readonly values: readonly number[];
}

export interface Steps {
  readonly labels: readonly string[];
  readonly parts: readonly Part[];
  /** Milliseconds by step. */
  readonly totals: readonly number[];
}

export interface Overview {
  readonly props: Readonly<Record<string, string>>;
  readonly steps: Steps;
  readonly ops: readonly Op[];
  /** By percentile. */
  readonly latency: Steps;
  readonly remarks: readonly { severity: string; message: string }[];
  readonly statements: readonly string[];
  readonly tips: readonly { about: string; text: string }[];
}

export interface Op {
  readonly name: string;
  readonly category: string;
  /** Percent of the time of all ops. */
  readonly share: number;
  readonly gflops: number;
}

const LATENCY: readonly { id: string; title: string; category: CategoryKey }[] = [
  { id: 'hostTimeMs', title: 'Host', category: 'elementwise' },
  { id: 'deviceTimeMs', title: 'Device', category: 'matmul' },
  { id: 'communicationTimeMs', title: 'Host-device communication', category: 'transfer' },
];

export function readOverview(answer: readonly DataTable[]): Overview {
  const [general, pipeline, environment, advice, latency, , diagnostics] = answer;
  const props = Object.assign({}, general?.p, pipeline?.p, environment?.p, advice?.p) as Record<string, string>;
  const steps = readSteps(pipeline, PARTS.map((p) => ({ ...p, id: p.ids.find((id) => at(pipeline, id) >= 0) ?? '' })));
  return {
    props,
    steps,
    ops: rows(general).map((op) => ({
      name: String(op['operation'] ?? ''),
      category: String(op['category'] ?? ''),
      share: Number(op['selfTimePercent'] ?? 0) * 100,
      gflops: Number(op['flopRate'] ?? 0),
    })),
    latency: readSteps(latency, LATENCY.map((l) => ({ ...l, kind: 'other' as const }))),
    remarks: rows(diagnostics).map((r) => ({ severity: String(r['severity']).toLowerCase(), message: String(r['message']) })),
    statements: [...new Set(Object.entries(props).filter(([key, text]) => /statement$|conclusion$/.test(key) && text).map(([, text]) => text))],
    tips: rows(advice).filter((t) => t['tip_type'] !== 'faq' && t['tip_type'] !== 'doc').map((t) => ({ about: String(t['description']), text: String(t['link']) })),
  };
}

/** A property as a number; `86.5%` is 86.5, and what is no number is not there. */
export function numberOf(props: Readonly<Record<string, string>>, key: string): number | undefined {
  const text = props[key];
  const value = text ? Number.parseFloat(text) : NaN;
  return Number.isFinite(value) ? value : undefined;
}

/** Milliseconds. The server rounds to a hundredth of one, which says little about short steps; then the steps themselves count. */
export function meanStep(o: Overview): number {
  const rounded = numberOf(o.props, 'steptime_ms_average') ?? 0;
  return rounded >= 1 ? rounded : mean(o.steps.totals);
}

export function stepDeviation(o: Overview): number {
  const rounded = numberOf(o.props, 'steptime_ms_standard_deviation') ?? 0;
  return rounded >= 1 ? rounded : deviation(o.steps.totals);
}

const at = (table: DataTable | undefined, id: string) => table?.cols?.findIndex((c) => c.id === id) ?? -1;

function rows(table: DataTable | undefined): Record<string, unknown>[] {
  return (table?.rows ?? []).map(({ c }) => Object.fromEntries((table?.cols ?? []).map(({ id }, i) => [id, c[i]?.v])));
}

function readSteps(table: DataTable | undefined, parts: readonly { id: string; title: string; kind: Kind; category: CategoryKey }[]): Steps {
  const read = parts
    .map((part) => ({ ...part, at: at(table, part.id) }))
    .filter((part) => part.at >= 0)
    .map((part): Part => ({
      key: part.id,
      title: part.title,
      kind: part.kind,
      category: category(part.category),
      values: table!.rows.map(({ c }) => Math.max(0, Number(c[part.at]?.v ?? 0) || 0)),
    }));
  const labels = (table?.rows ?? []).map(({ c }) => String(c[0]?.v ?? ''));
  return { labels, parts: read, totals: labels.map((_, step) => read.reduce((sum, p) => sum + p.values[step]!, 0)) };
}
