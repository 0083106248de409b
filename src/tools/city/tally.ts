/** Counters of a running city. They are bounded, so a city may run for weeks. */
export interface CityTally {
  requested: number;
  assigned: number;
  completed: number;
  captured: number;
  cancelled: number;
  unfulfilled: number;
  /** Live events received, each counted once per person. */
  notifications: number;
  /** Attempts that failed because of an outage and were retried. */
  retried: number;
  /** Reconnects of live connections. */
  reconnects: number;
  readonly errors: Map<string, number>;
  /** Rejections that the city provoked: late accepts, races with its own cancellations, reads by other people. */
  readonly provoked: Map<string, number>;
  /** Reasons of cancelled and unfulfilled trips. */
  readonly reasons: Map<string, number>;
  readonly assignMs: Samples;
}

export const createCityTally = (): CityTally => ({
  requested: 0,
  assigned: 0,
  completed: 0,
  captured: 0,
  cancelled: 0,
  unfulfilled: 0,
  notifications: 0,
  retried: 0,
  reconnects: 0,
  errors: new Map(),
  provoked: new Map(),
  reasons: new Map(),
  assignMs: createSamples(100_000),
});

export const incrementCount = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};

export const sumCounts = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, value) => sum + value, 0);

export interface Samples {
  add(value: number): void;
  values(): readonly number[];
}

/** Keeps the latest `samplesMax` values. */
export function createSamples(samplesMax: number): Samples {
  const samples: number[] = [];
  let next = 0;
  return {
    add(value) {
      samples[next] = value;
      next = (next + 1) % samplesMax;
    },
    values: () => samples,
  };
}

/** Nearest rank: the smallest value that at least `share` of all values do not exceed; null without values. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? null;
}
