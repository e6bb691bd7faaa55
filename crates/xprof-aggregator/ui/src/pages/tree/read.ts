/** The op tree: the answer's nodes, their shares of the whole, and the rows that are open. */

export interface Node {
  readonly name: string;
  readonly children?: readonly Node[];
  readonly numChildren?: number;
  readonly metrics?: {
    readonly rawTime: number;
    readonly rawFlops: number;
    readonly uncappedFlops: number;
    readonly bandwidthUtils: readonly number[];
    readonly rawBytesAccessedArray: readonly number[];
    readonly occurrences: number;
    readonly avgTimePs: number;
  };
  readonly xla?: {
    readonly expression: string;
    readonly provenance: string;
    readonly category: string;
    readonly programId: string;
    readonly sourceInfo?: { readonly fileName: string; readonly lineNumber: number; readonly stackFrame: string };
  };
  readonly category?: object;
}

/** All in percent; what cannot be known is not there. */
export interface Shares {
  readonly time: number;
  readonly waste?: number;
  readonly bytes?: number;
  readonly flops?: number;
  readonly hbm?: number;
}

export interface TreeRow {
  readonly node: Node;
  readonly depth: number;
  /** Unique in the tree: the names on the way to it. */
  readonly path: string;
  readonly shares: Shares;
  readonly isOpen: boolean;
  readonly hasChildren: boolean;
}

export function shares(node: Node, root: Node): Shares {
  const [m, whole] = [node.metrics, root.metrics];
  const time = m && whole?.rawTime ? m.rawTime / whole.rawTime : 0;
  const flops = m && time ? m.uncappedFlops / time : undefined;
  // The server writes 0 where it does not know.
  const hbm = m?.bandwidthUtils[0] || undefined;
  const used = Math.max(flops ?? 0, hbm ?? 0);
  const bytes = whole?.rawBytesAccessedArray[0] ? (m?.rawBytesAccessedArray[0] ?? 0) / whole.rawBytesAccessedArray[0] : undefined;
  const percent = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? undefined : value * 100);
  return {
    time: time * 100,
    waste: flops === undefined && hbm === undefined ? undefined : percent(Math.max(0, time * (1 - used))),
    bytes: percent(bytes),
    flops: percent(flops),
    hbm: percent(hbm),
  };
}

/** Parts of a path are put together with what no name holds. */
const SEPARATOR = '\u001f';
export const pathOf = (parent: string, name: string) => `${parent}${SEPARATOR}${name}`;

/** The paths from the top to the leaf of that name that takes most time; none if there is no such leaf. */
export function pathsTo(root: Node, name: string): string[] {
  let best: { path: string; time: number } | undefined;
  const pending = [{ node: root, path: '' }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { node, path } = next;
    const time = node.metrics?.rawTime ?? 0;
    if (node.name === name && !node.children?.length && (!best || time > best.time)) best = { path, time };
    for (const child of node.children ?? []) pending.push({ node: child, path: pathOf(path, child.name) });
  }
  const parts = best?.path.split(SEPARATOR).slice(1) ?? [];
  return parts.map((_, at) => parts.slice(0, at + 1).reduce(pathOf, ''));
}

/** Rows from top to bottom: children of open nodes under their parents, in the order that was chosen. */
export function treeRows(root: Node, open: ReadonlySet<string>, by: 'time' | 'waste' | 'bytes', least: number): TreeRow[] {
  const rows: TreeRow[] = [];
  // A stack, because a trace decides how deep the tree is.
  const pending: { node: Node; depth: number; path: string }[] = [{ node: root, depth: -1, path: '' }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { node, depth, path } = next;
    const isOpen = depth < 0 || open.has(path);
    if (depth >= 0) rows.push({ node, depth, path, shares: shares(node, root), isOpen, hasChildren: !!node.children?.length });
    if (!isOpen) continue;
    const children = (node.children ?? [])
      .map((child) => ({ node: child, size: shares(child, root) }))
      .filter(({ size }) => size.time >= least)
      .sort((a, b) => (a.size[by] ?? 0) - (b.size[by] ?? 0));
    for (const child of children) pending.push({ node: child.node, depth: depth + 1, path: pathOf(path, child.node.name) });
  }
  return rows;
}
