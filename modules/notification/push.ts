import {
  type DomainEvent,
  eventSchemas,
  type PaymentEventType,
  type TripEventType,
} from '@contracts/events.ts';
import { type Bus, done, type Outcome } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import type { Fanout } from './fanout/fanout.ts';
import { topicFrameText, writeBody } from './frames.ts';
import type { PersonInbox } from './inbox/inbox.ts';
import { type Notification, notificationsOf, operatorsView, rideNewsOf } from './recipients.ts';
import type { Rides } from './rides/rides.ts';

export interface PushOptions {
  bus: Bus;
  inbox: PersonInbox;
  fanout: Fanout;
  rides: Rides;
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
export function createPush({ bus, inbox, fanout, rides, clock, metrics, prefetch }: PushOptions): Worker {
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

  async function handle(event: DomainEvent): Promise<Outcome> {
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
    const view = operatorsView(event);
    if (view !== undefined)
      await fanout.broadcast('trips', topicFrameText('trips', writeBody({ id: event.id, ...view })));
  }

  async function noteRide(event: DomainEvent): Promise<void> {
    const news = rideNewsOf(event);
    if (news !== undefined) await rides.note(news);
  }

  async function tell({ id }: DomainEvent, { personId, event, data }: Notification): Promise<void> {
    const body = writeBody({ id, event, data });
    const { seq, holders } = await inbox.append(personId, { eventId: id, body }, clock.nowMs());
    // Also when it was there already: the attempt before may have ended between the two.
    await fanout.publish({ personId, seq, body }, holders);
  }
}
