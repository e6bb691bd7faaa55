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
    for (const child of children) pending.push({ node: child.node, depth: depth + 1, path: `${path}\u001f${child.node.name}` });
  }
  return rows;
}
