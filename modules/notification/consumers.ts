import {
  type DomainEvent,
  eventSchemas,
  type PaymentEventType,
  type TripEventType,
} from '@contracts/events.ts';
import { type Bus, done, type HandlerOutcome } from '@platform/bus/bus.ts';
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

/** What happens to trips and payments. That a person is signed out is for other services, not for people. */
const eventTypes = Object.keys(eventSchemas).filter(
  (type): type is TripEventType | PaymentEventType => !type.startsWith('user.'),
);

export const pushQueue = 'notification.push';

/** Tells people of what happened: each event into the inbox of everyone whom it concerns, then to their sockets. */
export function createNotificationConsumer({
  bus,
  inbox,
  fanout,
  tripFollowers,
  clock,
  metrics,
  prefetch,
}: NotificationConsumerDeps): Worker {
  let unsubscribe: (() => Promise<void>) | undefined;

  return {
    name: pushQueue,
    async start() {
      unsubscribe ??= await bus.subscribe({
        queue: pushQueue,
        events: eventTypes,
        prefetch,
        handle: ({ event }) => handle(event),
      });
    },
    async stop() {
      await unsubscribe?.();
      unsubscribe = undefined;
    },
  };

  async function handle(event: DomainEvent): Promise<HandlerOutcome> {
    try {
      // All leave before the first await: events of one trip keep the order of their delivery.
      await Promise.all([
        ...notificationsOf(event).map((notification) => tell(event, notification)),
        show(event),
        noteRide(event),
      ]);
    } catch (error) {
      if (!isOutage(error)) throw error;
      return { kind: 'retry', reason: 'the inbox is away' };
    }
    metrics.observe('notification_push_ms', clock.nowMs() - Date.parse(event.time));
    return done;
  }

  /** To operators, who see it now or not at all. */
  async function show(event: DomainEvent): Promise<void> {
    const view = operatorViewOf(event);
    if (view !== undefined)
      await fanout.broadcast('trips', encodeTopicFrame('trips', encodeFrameBody({ id: event.id, ...view })));
  }

  async function noteRide(event: DomainEvent): Promise<void> {
    const news = followerUpdateOf(event);
    if (news !== undefined) await tripFollowers.record(news);
  }

  async function tell({ id }: DomainEvent, { personId, event, data }: Notification): Promise<void> {
    const body = encodeFrameBody({ id, event, data });
    const { seq, holders } = await inbox.append(personId, { eventId: id, body }, clock.nowMs());
    // Also when it was there already: the attempt before may have ended between the two.
    await fanout.publish({ personId, seq, body }, holders);
  }
}
