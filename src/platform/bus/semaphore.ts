/** Limits how many holders there are at once; further ones wait in order of arrival. */
export interface Semaphore {
  /** Returns undefined when a place was free, so that the caller does not wait a turn for nothing. */
  acquire(): Promise<void> | undefined;
  /** Passes the place to the one who has waited longest. */
  release(): void;
}

export function createSemaphore(places: number): Semaphore {
  let freePlaces = places;
  // A set keeps the order of arrival, and removing its first element costs the same however long it is.
  const waiting = new Set<() => void>();

  return {
    acquire() {
      if (freePlaces > 0) {
        freePlaces--;
        return undefined;
      }
      return new Promise((resolve) => waiting.add(resolve));
    },
    release() {
      const [next] = waiting;
      if (next === undefined) {
        freePlaces++;
        return;
      }
      waiting.delete(next);
      next();
    },
  };
}
