/** Runs at most `concurrencyMax` tasks at once. */
export interface ConcurrencyLimit {
  run<T>(task: () => Promise<T>): Promise<T>;
}

export function createConcurrencyLimit(concurrencyMax: number): ConcurrencyLimit {
  const waiting: (() => void)[] = [];
  let running = 0;

  return {
    async run(task) {
      // A task that is resumed takes over the slot of the one that finished.
      if (running < concurrencyMax) running++;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await task();
      } finally {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}

/** A group of background tasks. Their errors are kept for the caller of `waitForAll`. */
export interface TaskGroup {
  add(task: Promise<unknown>): void;
  size(): number;
  /** Resolves once all tasks are done, including those added in the meantime; rejects with the first error. */
  waitForAll(): Promise<void>;
}

export function createTaskGroup(onError: () => void): TaskGroup {
  const inFlight = new Set<Promise<void>>();
  const errors: unknown[] = [];

  return {
    add(task) {
      const tracked: Promise<void> = task
        .then(
          () => {},
          (error: unknown) => {
            errors.push(error);
            onError();
          },
        )
        .finally(() => inFlight.delete(tracked));
      inFlight.add(tracked);
    },
    size: () => inFlight.size,
    async waitForAll() {
      while (inFlight.size > 0) await Promise.all(inFlight);
      if (errors.length > 0) throw errors[0];
    },
  };
}
