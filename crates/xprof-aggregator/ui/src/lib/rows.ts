/** Which rows of a long list are on the screen. All rows have one height, so this is arithmetic. */

/** Rows beyond the edges, so that a scroll of a few rows shows no gap. */
const SPARE = 6;

export function visibleRows(scrollTop: number, height: number, row: number, count: number): number[] {
  const first = Math.max(0, Math.floor(scrollTop / row) - SPARE);
  const end = Math.min(count, Math.ceil((scrollTop + height) / row) + SPARE);
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
}

/** Where to scroll so that a row is seen whole. */
export function scrollTo(at: number, scrollTop: number, height: number, row: number): number {
  return Math.min(at * row, Math.max(scrollTop, (at + 1) * row - height));
}
