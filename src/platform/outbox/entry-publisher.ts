import type { Bus } from '../bus/bus.ts';
import { EventInvalidError } from '../bus/envelope.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { OutboxBatch, OutboxEntry, OutboxStore } from './store.ts';

export interface EntryPublisherDeps {
  bus: Bus;
  store: OutboxStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  context: string;
  /** Receives the ids of the rows whose events the broker has confirmed. */
  onConfirmed(ids: number[]): void;
}

/** Publishes outbox entries and sets those aside that can never be published. */
export function createEntryPublisher(deps: EntryPublisherDeps) {
  const { bus, store, clock, log, metrics, context, onConfirmed } = deps;
  return { publish, setAside };

  /** Resolves when each entry is confirmed or set aside; rejects when the broker failed. */
  async function publish(entries: readonly OutboxEntry[]): Promise<void> {
    try {
      await bus.publish(entries.map(({ event }) => event));
    } catch (error) {
      if (!(error instanceof EventInvalidError)) throw error;
      // One by one, to find the entry that the bus rejects: the others must not wait for it.
      if (entries.length > 1) {
        for (const entry of entries) await publish([entry]);
        return;
      }
      return await setAside(entries.map(({ id }) => ({ id, reason: error.message })));
    }
    onConfirmed(entries.map(({ id }) => id));
    const nowMs = clock.nowMs();
    for (const { event } of entries)
      metrics.observe('outbox_lag_ms', nowMs - Date.parse(event.time), { context });
  }

  /** Marks rows that break the contract of their event; they stay in the table for an operator. */
  async function setAside(invalid: OutboxBatch['invalid']): Promise<void> {
    await store.setAside(invalid);
    log.error({ context, rows: invalid }, 'outbox rows break the event contract and were set aside');
    metrics.count('outbox_refused_total', { context }, invalid.length);
  }
}
