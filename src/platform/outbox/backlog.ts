import type { Clock } from '../clock.ts';
import type { OutboxBatch, OutboxStore } from './store.ts';

const countEveryMs = 1_000;

/** How many events wait in an outbox, as of the last batch that was read. */
export function createBacklog(deps: { store: OutboxStore; clock: Clock; batchMax: number }) {
  const { store, clock, batchMax } = deps;
  let rows = 0;
  let countedAtMs = Number.NEGATIVE_INFINITY;

  return {
    size: () => rows,

    /**
     * A batch that is not full holds all rows there are beside those in flight. When it is full, or
     * when another relay holds the lease, the table is asked, once a second.
     */
    async update(batch: OutboxBatch, inFlightEntries: number): Promise<void> {
      const found = batch.entries.length + batch.invalid.length;
      if (!batch.isLeasedElsewhere && found < batchMax) {
        rows = found + inFlightEntries;
      } else if (clock.nowMs() - countedAtMs >= countEveryMs) {
        countedAtMs = clock.nowMs();
        rows = await store.estimateBacklog();
      }
    },
  };
}
