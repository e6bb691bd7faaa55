/** What the tables of each tool are called; the server does not name them. */

import type { Table } from '../../lib/table';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  framework_op_stats: ['With idle time', 'Without idle time'],
  input_pipeline_analyzer: ['Summary', 'Steps', 'Input ops', 'Advice'],
  hlo_stats: ['Ops'],
  kernel_stats: ['Kernels'],
  roofline_model: ['Ops and programs'],
  inference_profile: ['Requests', 'Batches'],
  megascale_stats: ['Collectives'],
  perf_counters: ['Counters'],
  pod_viewer: ['Steps by core'],
  utilization_viewer: ['Utilization'],
};

/** The order in which a page opens. */
export const SORTS: Readonly<Record<string, string>> = {
  hlo_stats: '-total_self_time',
  framework_op_stats: 'rank',
  kernel_stats: '-total_duration_us',
  roofline_model: 'step,rank',
  pod_viewer: '-total_duration_us',
};

/** What a page shows first, the name of the row foremost; the rest is in the list of columns and in the inspector. */
export const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  hlo_stats: list('hlo_op_name category occurrences total_self_time total_self_time_percent avg_time model_flop_rate measured_memory_bw operational_intensity bound_by tf_op_name source_info'),
  framework_op_stats: list('operation type host_or_device occurrences total_self_time device_total_self_time_percent host_total_self_time_percent avg_self_time measured_flop_rate measured_memory_bw bound_by'),
  kernel_stats: list('kernel_name op_name occurrences total_duration_us avg_duration_us min_duration_us max_duration_us occupancy_pct is_kernel_using_tensor_core registers_per_thread shmem_bytes block_dim grid_dim'),
  roofline_model: list('operation category step occurrences total_self_time total_self_time_percent measured_flop_rate hbm_bw operational_intensity bound_by roofline_efficiency'),
};

function list(ids: string): readonly string[] {
  return ids.split(' ');
}

export interface NamedTable {
  readonly key: string;
  readonly title: string;
  readonly table: Table;
}

/** Tables of steps come first: they are why the page is opened. */
export function nameTables(tool: string, tables: readonly Table[]): NamedTable[] {
  const named = tables.map((table, at) => ({ key: String(at), title: titleOf(tool, table, at, tables.length), table }));
  return [...named].sort((a, b) => Number(isSteps(b.table)) - Number(isSteps(a.table)));
}

const isSteps = (table: Table) => table.columns[0]?.id === 'stepnum';

function titleOf(tool: string, table: Table, at: number, count: number): string {
  if (isSteps(table)) return 'Steps';
  if (table.columns[0]?.id === 'link') return 'Advice';
  if (table.columns[0]?.id === 'opName') return 'Input ops';
  return NAMES[tool]?.[at] ?? (count > 1 ? `Table ${at + 1}` : 'Rows');
}
