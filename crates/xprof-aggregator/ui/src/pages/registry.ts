/** Every page of the rail: one line each. */

import type { Component } from 'svelte';
import type { Api } from '../lib/api';
import type { Router } from '../lib/router.svelte';

/** What the shell gives a page. */
export interface PageProps {
  readonly run: string;
  /** Hosts chosen; none means all. */
  readonly hosts: readonly string[];
  readonly url: Router;
  readonly api: Api;
}

export interface Page {
  /** The last part of the path of its address. */
  readonly key: string;
  readonly group: Group;
  readonly title: string;
  /** It has something to show if the server's list of a run's tools holds one of these; none: it always has. */
  readonly tools: readonly string[];
  readonly load: () => Promise<{ default: Component<PageProps> }>;
}

export const GROUPS = ['Start', 'Time', 'Ops', 'Program', 'Memory', 'Network', 'Serving', 'Hardware'] as const;
export type Group = (typeof GROUPS)[number];

const page = (key: string, group: Group, title: string, tools: string[], load: Page['load']): Page => ({ key, group, title, tools, load });

export const PAGES: readonly Page[] = [
  page('overview', 'Start', 'Overview', ['overview_page'], () => import('./overview/Overview.svelte')),
  page('timeline', 'Time', 'Timeline', ['trace_viewer@'], () => import('./timeline/Timeline.svelte')),
];
