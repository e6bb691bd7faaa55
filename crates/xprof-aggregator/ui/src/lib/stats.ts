/** Small statistics over a list of numbers. */

export function mean(values: readonly number[]): number {
  return values.length ? values.reduce((sum, v) => sum + v, 0) / values.length : NaN;
}

/** Spread of all values, not of a sample: as the server computes its σ. */
export function deviation(values: readonly number[]): number {
  const m = mean(values);
  return Math.sqrt(mean(values.map((v) => (v - m) ** 2)));
}

/** Interpolated between neighbours; `p` from 0 to 1. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * p;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low === undefined || high === undefined ? NaN : low + (high - low) * (at % 1);
}

/** Places of values that stand out: more than three times as far from the median as values usually are, and by a tenth at least. */
export function outliers(values: readonly number[]): number[] {
  const middle = quantile(values, 0.5);
  const usual = quantile(values.map((v) => Math.abs(v - middle)), 0.5);
  const far = Math.max(3 * 1.4826 * usual, middle / 10);
  return [...values.keys()].filter((at) => values[at]! - middle > far);
}
