/** Every page of the rail: one line each. */

import type { Component } from 'svelte';
import type { Api } from '../lib/api';
import type { Load } from '../lib/load.svelte';
import type { Router } from '../lib/router.svelte';

/** What the shell gives a page. */
export interface PageProps {
  readonly run: string;
  /** Hosts chosen; none means all. */
  readonly hosts: readonly string[];
  /** All hosts of the run, as they become known. */
  readonly hostList: Load<{ hostname: string }[]>;
  /** Tools that this server answers about the run, once that is known. */
  readonly tools: readonly string[] | undefined;
  readonly url: Router;
  readonly api: Api;
  readonly page: Page;
}

export interface Page {
  /** The last part of the path of its address. */
  readonly key: string;
  readonly group: Group;
  readonly title: string;
  /** It shows what the first of these answers, and has something to show if the run offers one of them. */
  readonly tools: readonly string[];
  /** What a run lacks that does not offer them; nothing: the page says itself what is wrong. */
  readonly needs: string;
  readonly load: () => Promise<{ default: Component<PageProps> }>;
}

export const GROUPS = ['Start', 'Time', 'Ops', 'Program', 'Memory', 'Network', 'Serving', 'Hardware'] as const;
export type Group = (typeof GROUPS)[number];

const page = (key: string, group: Group, title: string, tools: string[], needs: string, load: Page['load']): Page => ({ key, group, title, tools, needs, load });
const tables: Page['load'] = () => import('./tables/Tables.svelte');
const modules: Page['load'] = () => import('./modules/Modules.svelte');

export const PAGES: readonly Page[] = [
  page('overview', 'Start', 'Overview', ['overview_page'], '', () => import('./overview/Overview.svelte')),
  page('timeline', 'Time', 'Timeline', ['trace_viewer@'], '', () => import('./timeline/Timeline.svelte')),
  page('steps', 'Time', 'Steps & input', ['input_pipeline_analyzer', 'input_pipeline'], 'steps', tables),
  page('pod', 'Time', 'Pod / hosts', ['pod_viewer'], '', tables),
  page('tree', 'Ops', 'Op tree', ['op_profile', 'hlo_op_profile'], 'device ops', () => import('./tree/OpTree.svelte')),
  page('ops', 'Ops', 'Op table', ['hlo_stats', 'hlo_op_stats'], 'device ops', tables),
  page('framework', 'Ops', 'Framework ops', ['framework_op_stats', 'tensorflow_stats'], 'framework ops', tables),
  page('kernels', 'Ops', 'Kernels', ['kernel_stats'], 'GPU kernels', tables),
  page('roofline', 'Ops', 'Roofline', ['roofline_model'], 'device ops', tables),
  page('graph', 'Program', 'Graph and HLO text', ['graph_viewer'], 'compiled programs', modules),
  page('buffers', 'Memory', 'Memory plan', ['memory_viewer'], 'compiled programs', modules),
  page('collectives', 'Network', 'Collectives', ['megascale_stats'], 'collectives between slices', tables),
  page('inference', 'Serving', 'Inference', ['inference_profile'], 'inference requests', tables),
  page('counters', 'Hardware', 'Counters', ['perf_counters'], 'hardware counters', tables),
  page('utilization', 'Hardware', 'Utilization', ['utilization_viewer', 'kernel_utilization'], 'hardware counters', tables),
];
