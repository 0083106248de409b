import type { DriverId, PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';

/**
 * Every Redis key and channel of this context. All keys of a person carry one hash tag: a script may
 * touch them together on a Redis Cluster, and people spread over its slots.
 */
export function createNotificationKeys(prefix: string) {
  const person = (id: PersonId, part: string) => `${prefix}realtime:{${id}}:${part}`;
  return {
    /** Hash: `base` (the seq before the inbox's first) and `last`. */
    inboxState: (id: PersonId) => person(id, 'state'),
    /** Stream of event frames; the seq is the entry's id. */
    inboxEntries: (id: PersonId) => person(id, 'entries'),
    /** Sorted set: event id by seq, for the entries that are kept. */
    inboxEventIds: (id: PersonId) => person(id, 'event-ids'),
    /** Sorted set: instance by the time in Unix ms until which it holds sockets of the person. */
    presence: (id: PersonId) => person(id, 'instances'),
    /** Hash: the driver's ride under way, or the end of the last one. */
    ride: (id: DriverId) => `${prefix}realtime:{${id}}:ride`,
    /** String: written and read to see whether the store can be. */
    probe: `${prefix}realtime:probe`,
    ticket: (ticket: string) => `${prefix}realtime:ticket:${ticket}`,
    /** Channel of what all who listen to the topic are told. */
    topic: (topic: Topic) => `${prefix}realtime:topic:${topic}`,
    /** Channel on which an instance hears what its people are to be told. */
    instance: (instanceId: string) => `${prefix}realtime:instance:${instanceId}`,
  };
}
export type NotificationKeys = ReturnType<typeof createNotificationKeys>;
