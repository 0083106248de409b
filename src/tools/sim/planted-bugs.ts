import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import type { SimBroker } from './broker.ts';
import type { Scheduler } from './scheduler.ts';

/** A bug that is planted by decorating what the modules receive, to test that the simulation finds it. */
export interface BugPatch {
  broker?(broker: SimBroker, scheduler: Scheduler): SimBroker;
  inbox?(inbox: PersonInbox): PersonInbox;
  /** Changes SQL text; called with each piece between two parameters. */
  rewrite?(text: string): string;
  /** SQL that is run on the payment schema before the first seed. */
  paymentSchema?: string;
}

/** Consumers acknowledge an event before they apply it. */
const ackBeforeCommit: BugPatch = {
  broker: (broker, scheduler) => ({
    ...broker,
    createBus(scope) {
      const bus = broker.createBus(scope);
      return {
        ...bus,
        subscribe: (subscription) =>
          bus.subscribe({
            ...subscription,
            async handle(delivery) {
              scheduler.schedule(1, scope, () => void subscription.handle(delivery).catch(() => undefined));
              return { kind: 'done' };
            },
          }),
      };
    },
  }),
};

/** A trip is updated without checking its version, and conflicts in its history are ignored. */
const missingFence: BugPatch = {
  rewrite: (text) =>
    text
      .replace('and trips.version = ', 'and 0 <> ')
      .replace('::jsonb) as new', '::jsonb) as new on conflict do nothing'),
};

/**
 * An event is applied on every delivery: the inbox no longer rejects duplicates, and neither does the
 * constraint of one payment per trip, which would hide the bug.
 */
const missingInbox: BugPatch = {
  rewrite: (text) =>
    text
      .replace(
        /on conflict do nothing\s+returning event_id/,
        'on conflict (consumer, event_id) do update set at_ms = excluded.at_ms returning event_id',
      )
      .replace(/on conflict \(trip_id\) do (nothing|update[\s\S]*?where payments\.intent = 'hold')/, ''),
  paymentSchema: 'alter table payments drop constraint if exists payments_trip_id_key',
};

export const plantedBugs = { ackBeforeCommit, missingFence, missingInbox };
export type PlantedBug = keyof typeof plantedBugs;
