/** The search over all events of the chosen hosts, however deep the view hides them. */

import type { Data } from './engine/data';

/** One event found. */
export interface Found {
  readonly host: number;
  readonly row: number;
  readonly position: number;
  readonly lane: number;
  readonly name: string;
  /** In ps from the origin of the page. */
  readonly from: number;
  readonly to: number;
}

export interface NameCount {
  readonly name: string;
  readonly category: string | undefined;
  readonly n: number;
  readonly totalPs: number;
}

/** Events listed per host; all are counted. */
const LIMIT = 20_000;

export class Search {
  text = $state('');
  isLoading = $state(false);
  error = $state('');
  /** All that were found. */
  n = $state(0);
  hits: readonly Found[] = $state.raw([]);
  names: readonly NameCount[] = $state.raw([]);
  /** Place in `hits`; -1 before the first step. */
  at = $state(-1);
  #abort = new AbortController();

  /** Finds `text` on hosts; the last call counts. */
  async run(data: Data, hosts: readonly number[], text: string): Promise<void> {
    this.#abort.abort();
    const { signal } = (this.#abort = new AbortController());
    Object.assign(this, { text, at: -1, error: '' });
    if (!text) {
      Object.assign(this, { n: 0, hits: [], names: [], isLoading: false });
      return;
    }
    this.isLoading = true;
    try {
      const answers = await Promise.allSettled(hosts.map((host) => data.search(host, text, LIMIT, signal)));
      if (signal.aborted) return;
      const found = answers.flatMap((answer, i) => (answer.status === 'fulfilled' ? [{ host: hosts[i]!, block: answer.value }] : []));
      const failed = answers.find((answer) => answer.status === 'rejected');
      if (!found.length && failed) throw failed.reason;
      const names = new Map<string, NameCount>();
      const hits: Found[] = [];
      for (const { host, block } of found) {
        const { header } = block;
        const start = data.time(header.min_ps);
        const [row, position, name, lane] = [block.u32('row'), block.u32('position'), block.u32('name'), block.u8('lane')];
        const [begin, length] = [block.f64('begin_ps'), block.f64('duration_ps')];
        for (let i = 0; i < row.length; i++) {
          const from = start + begin[i]!;
          hits.push({ host, row: row[i]!, position: position[i]!, lane: lane[i]!, name: header.names[name[i]!]!, from, to: from + length[i]! });
        }
        const [count, total, category] = [block.u32('name_count'), block.f64('name_total_ps'), block.u32('name_category')];
        header.names.forEach((text, i) => {
          const known = names.get(text);
          names.set(text, { name: text, category: header.categories[category[i]!], n: (known?.n ?? 0) + (count[i] ?? 0), totalPs: (known?.totalPs ?? 0) + (total[i] ?? 0) });
        });
      }
      hits.sort((a, b) => a.from - b.from);
      this.n = found.reduce((sum, { block }) => sum + block.header.n, 0);
      this.error = failed ? `${hosts.length - found.length} of ${hosts.length} hosts did not answer` : '';
      this.hits = hits;
      this.names = [...names.values()].filter(({ n }) => n > 0).sort((a, b) => b.totalPs - a.totalPs);
      this.isLoading = false;
    } catch (error) {
      if (signal.aborted) return;
      Object.assign(this, { n: 0, hits: [], names: [], isLoading: false, error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** The next or the previous hit; at first the one nearest to `near`. */
  step(by: 1 | -1, near: number): Found | undefined {
    const { hits } = this;
    if (!hits.length) return undefined;
    if (this.at < 0) {
      const first = hits.findIndex((hit) => hit.to >= near);
      this.at = by > 0 ? Math.max(first, 0) : (Math.max(first, 0) - 1 + hits.length) % hits.length;
    } else {
      this.at = (this.at + by + hits.length) % hits.length;
    }
    return hits[this.at];
  }

  close(): void {
    this.#abort.abort();
  }
}
