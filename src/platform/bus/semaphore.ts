/** Places that so many may hold at once; the others wait in line. */
export interface Semaphore {
  /** Undefined when a place was free: nobody waits a turn for nothing. */
  acquire(): Promise<void> | undefined;
  /** Hands the place to who has waited longest. */
  release(): void;
}

export function createSemaphore(count: number): Semaphore {
  let free = count;
  // A set keeps the order of arrival, and its first leaves at no cost, however long the line.
  const line = new Set<() => void>();

  return {
    acquire() {
      if (free > 0) {
        free--;
        return undefined;
      }
      return new Promise((resolve) => line.add(resolve));
    },
    release() {
      const [next] = line;
      if (next === undefined) {
        free++;
        return;
      }
      line.delete(next);
      next();
    },
  };
}
