import type { OutboxEntry } from './store.ts';

/** The batches of one relay that were handed to the broker and are not confirmed yet. */
export interface InFlightBatches {
  size(): number;
  entryCount(): number;
  /** The subject of every entry in flight, with repetitions. */
  subjects(): string[];
  /** Whether another batch may be launched. */
  hasRoom(): boolean;
  /** Publishes the entries. A failure is kept for `throwIfFailed`; either way the end wakes the waiter. */
  launch(entries: OutboxEntry[]): void;
  throwIfFailed(): void;
  /** Says that there may be new rows to read. */
  requestWake(): void;
  isWakeRequested(): boolean;
  /** Called before rows are read: what was committed until now will be seen. */
  clearWakeRequest(): void;
  /**
   * Resolves when a batch has ended. With `wakeable` it also resolves on a wake request, provided that
   * another batch could be launched.
   */
  waitForProgress(options: { wakeable: boolean }): Promise<void>;
  /** Resolves when nothing is in flight, and forgets a failure. */
  waitForAll(): Promise<void>;
}

export function createInFlightBatches(
  publish: (entries: OutboxEntry[]) => Promise<void>,
  batchesMax: number,
): InFlightBatches {
  const batches = new Set<OutboxEntry[]>();
  let failure: { error: unknown } | undefined;
  let isWakeRequested = false;
  let progress = Promise.withResolvers<void>();

  return {
    size: () => batches.size,
    entryCount: () => [...batches].reduce((sum, entries) => sum + entries.length, 0),
    subjects: () => [...batches].flatMap((entries) => entries.map(({ event }) => event.subject)),
    hasRoom,
    launch: (entries) => void run(entries),
    throwIfFailed() {
      if (failure !== undefined) throw failure.error;
    },
    requestWake() {
      isWakeRequested = true;
      progress.resolve();
    },
    isWakeRequested: () => isWakeRequested,
    clearWakeRequest() {
      isWakeRequested = false;
    },
    waitForProgress,
    async waitForAll() {
      while (batches.size > 0) await waitForProgress({ wakeable: false });
      failure = undefined;
    },
  };

  function hasRoom(): boolean {
    return batches.size < batchesMax;
  }

  async function run(entries: OutboxEntry[]): Promise<void> {
    batches.add(entries);
    try {
      await publish(entries);
    } catch (error) {
      failure ??= { error };
    }
    batches.delete(entries);
    progress.resolve();
  }

  async function waitForProgress({ wakeable }: { wakeable: boolean }): Promise<void> {
    const sizeBefore = batches.size;
    while (batches.size === sizeBefore && sizeBefore > 0) {
      if (wakeable && isWakeRequested && hasRoom() && failure === undefined) return;
      progress = Promise.withResolvers();
      await progress.promise;
    }
  }
}
