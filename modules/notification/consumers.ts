import {
  type DomainEvent,
  eventSchemas,
  type PaymentEventType,
  type TripEventType,
} from '@contracts/events.ts';
import { type Bus, done, type HandlerOutcome } from '@platform/bus/bus.ts';
import { createConsumer } from '@platform/bus/consumer.ts';
import type { Clock } from '@platform/clock.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import type { Fanout } from './fanout/fanout.ts';
import type { TripFollowers } from './followers/trip-followers.ts';
import type { PersonInbox } from './inbox/inbox.ts';
import { encodeFrameBody, encodeTopicFrame } from './live/frames.ts';
import { followerUpdateOf, type Notification, notificationsOf, operatorViewOf } from './recipients.ts';

export interface NotificationConsumerDeps {
  bus: Bus;
  inbox: PersonInbox;
  fanout: Fanout;
  tripFollowers: TripFollowers;
  clock: Clock;
  metrics: Metrics;
  prefetch: number;
}

/** Events of trips and payments. `user.signed_out` is for other services and is never pushed to people. */
const eventTypes = Object.keys(eventSchemas).filter(
  (type): type is TripEventType | PaymentEventType => !type.startsWith('user.'),
);

export const pushQueue = 'notification.push';

/** Pushes events to people: each event is appended to the inbox of everyone it concerns and then sent to their live connections. */
export function createNotificationConsumer({
  bus,
  inbox,
  fanout,
  tripFollowers,
  clock,
  metrics,
  prefetch,
}: NotificationConsumerDeps): Worker {
  return createConsumer(bus, {
    queue: pushQueue,
    events: eventTypes,
    prefetch,
    handle: ({ event }) => handle(event),
  });

  async function handle(event: DomainEvent): Promise<HandlerOutcome> {
    try {
      // All calls start before the first await, so events of one trip keep the order in which they were delivered.
      await Promise.all([
        ...notificationsOf(event).map((notification) => notifyPerson(event, notification)),
        broadcastToOperators(event),
        recordFollower(event),
      ]);
    } catch (error) {
      if (!isOutage(error)) throw error;
      return { kind: 'retry', reason: 'the inbox is unavailable' };
    }
    metrics.observe('notification_push_ms', clock.nowMs() - Date.parse(event.time));
    return done;
  }

  /** Operators who are subscribed see the event now. It is not kept for those who are not. */
  async function broadcastToOperators(event: DomainEvent): Promise<void> {
    const view = operatorViewOf(event);
    if (view !== undefined)
      await fanout.broadcast('trips', encodeTopicFrame('trips', encodeFrameBody({ id: event.id, ...view })));
  }

  async function recordFollower(event: DomainEvent): Promise<void> {
    const update = followerUpdateOf(event);
    if (update !== undefined) await tripFollowers.record(update);
  }

  async function notifyPerson({ id }: DomainEvent, { personId, event, data }: Notification): Promise<void> {
    const body = encodeFrameBody({ id, event, data });
    const { seq, instanceIds } = await inbox.append(personId, { eventId: id, body }, clock.nowMs());
    // Publishes even if the event was already in the inbox: the previous attempt may have failed between the two calls.
    await fanout.publish({ personId, seq, body }, instanceIds);
  }
}
