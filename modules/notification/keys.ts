import type { DriverId, PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';

/**
 * All Redis keys and channels of this context. The keys of a person share one hash tag, so a script may use them
 * together on a Redis Cluster while people are spread over its slots.
 */
export function createNotificationKeys(prefix: string) {
  const person = (id: PersonId, part: string) => `${prefix}realtime:{${id}}:${part}`;
  return {
    /** Hash: `base` (the seq before the inbox's first) and `last`. */
    inboxState: (id: PersonId) => person(id, 'state'),
    /** Stream of event frames; the seq is the entry's id. */
    inboxEntries: (id: PersonId) => person(id, 'entries'),
    /** Sorted set: event ids scored by seq, for the entries that are kept. */
    inboxEventIds: (id: PersonId) => person(id, 'event-ids'),
    /** Sorted set: instance ids scored by the Unix ms until which their presence is valid. */
    presence: (id: PersonId) => person(id, 'instances'),
    /** Hash: the follower of the driver's active trip, or the end of the last trip. */
    ride: (id: DriverId) => `${prefix}realtime:{${id}}:ride`,
    /** String: written and read by the readiness probe. */
    probe: `${prefix}realtime:probe`,
    ticket: (ticket: string) => `${prefix}realtime:ticket:${ticket}`,
    /** Channel of the broadcasts of a topic. */
    topic: (topic: Topic) => `${prefix}realtime:topic:${topic}`,
    /** Channel of the deliveries to one instance. */
    instance: (instanceId: string) => `${prefix}realtime:instance:${instanceId}`,
  };
}
export type NotificationKeys = ReturnType<typeof createNotificationKeys>;
