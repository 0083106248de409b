import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import type { SimBroker } from './broker.ts';
import type { Scheduler } from './scheduler.ts';

/** A bug put into the system from outside, by decorating what the modules are given: to see that it is found. */
export interface BugPatch {
  broker?(broker: SimBroker, scheduler: Scheduler): SimBroker;
  inbox?(inbox: PersonInbox): PersonInbox;
  /** Changes the text of SQL, a piece between two parameters at a time. */
  rewrite?(text: string): string;
  /** Run on the schema of the payments before the first seed. */
  paymentSchema?: string;
}

/** Consumers acknowledge an event, then apply it. */
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

/** A trip is written whatever its version is by now, and its history takes what it can get. */
const missingFence: BugPatch = {
  rewrite: (text) =>
    text
      .replace('and trips.version = ', 'and 0 <> ')
      .replace('::jsonb) as new', '::jsonb) as new on conflict do nothing'),
};

/**
 * An event is applied as often as it comes: the inbox row is written and stops nothing, and neither does
 * the rule of one payment for each trip, which would hide it.
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
