/** How full the memory of a host's devices became, from the memory profile: of the allocator that came nearest to its capacity. */

interface Aggregation {
  readonly peakBytesInUse?: string;
}
interface MemoryProfile {
  readonly memoryProfilePerAllocator?: Readonly<Record<string, { readonly profileSummary?: { readonly peakStats?: Aggregation; readonly memoryCapacity?: string } }>>;
}

export interface MemoryPeak {
  readonly allocator: string;
  readonly bytes: number;
  /** 0 if no event told it. */
  readonly capacity: number;
}

/** `answer` is empty where a trace has no plane of a host. */
export function readMemoryPeak(answer: string): MemoryPeak | undefined {
  const { memoryProfilePerAllocator } = (answer ? JSON.parse(answer) : {}) as MemoryProfile;
  const peaks = Object.entries(memoryProfilePerAllocator ?? {}).map(([allocator, { profileSummary }]) => ({
    allocator,
    bytes: Number(profileSummary?.peakStats?.peakBytesInUse ?? 0),
    capacity: Number(profileSummary?.memoryCapacity ?? 0),
  }));
  const full = ({ bytes, capacity }: MemoryPeak) => (capacity ? bytes / capacity : 0);
  return peaks.filter(({ bytes }) => bytes > 0).sort((a, b) => full(b) - full(a) || b.bytes - a.bytes)[0];
}
