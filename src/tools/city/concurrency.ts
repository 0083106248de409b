/** At most `placesMax` of what is given to `run` are under way at once. */
export interface ConcurrencyLimit {
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createConcurrencyLimit(placesMax: number): ConcurrencyLimit {
  const waiting: (() => void)[] = [];
  let taken = 0;

  return {
    async run(work) {
      // Who is woken takes over the place of the one who left.
      if (taken < placesMax) taken++;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) taken--;
        else next();
      }
    },
  };
}

/** Work that goes on beside everything else. What it throws is kept for the one who waits for the end. */
export interface TaskGroup {
  add(work: Promise<unknown>): void;
  size(): number;
  /** Resolves when all is done, also what was added meanwhile; rejects with the first error of any. */
  waitForAll(): Promise<void>;
}

export function createTaskGroup(onError: () => void): TaskGroup {
  const underWay = new Set<Promise<void>>();
  const errors: unknown[] = [];

  return {
    add(work) {
      const watched: Promise<void> = work
        .then(
          () => {},
          (error: unknown) => {
            errors.push(error);
            onError();
          },
        )
        .finally(() => underWay.delete(watched));
      underWay.add(watched);
    },
    size: () => underWay.size,
    async waitForAll() {
      while (underWay.size > 0) await Promise.all(underWay);
      if (errors.length > 0) throw errors[0];
    },
  };
}
