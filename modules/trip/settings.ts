import { authorisationWaitMsMax } from '@contracts/payments.ts';
import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';

export const tripSettings = Type.Object({
  DISPATCH_MODE: setting.choice(
    'how a trip finds its driver, over the bus or within the request',
    ['events', 'sync'],
    'events',
  ),
  DISPATCH_PREFETCH: setting.integer('trips that one instance dispatches at once', 1, 500, 100),
  DISPATCH_RETRY_MS: setting.integer('milliseconds between two searches for a driver', 100, 60_000, 1_500),
  DISPATCH_WINDOW_MS: setting.integer(
    'milliseconds that requests gather before they are matched together, 0 for not at all',
    0,
    2_000,
    0,
  ),
  SEARCH_TIMEOUT_SECONDS: setting.integer('seconds after which a search is given up', 5, 3_600, 120),
  OFFER_TIMEOUT_SECONDS: setting.integer('seconds that a driver has to answer an offer', 1, 110, 15),
  ACCEPT_PAYMENT_WAIT_MS: setting.integer(
    "milliseconds that an accept waits at most for the answer about the rider's card; 0 for not at all",
    0,
    authorisationWaitMsMax,
    2_000,
  ),
  PICKUP_TIMEOUT_MINUTES: setting.integer('minutes that a driver has to reach the pickup', 1, 600, 45),
  NO_SHOW_MINUTES: setting.integer('minutes that a driver waits at the pickup', 1, 600, 15),
  TRIP_TIMEOUT_HOURS: setting.integer('hours after which a trip under way counts as stuck', 1, 72, 8),
  DRIVER_SILENT_MINUTES: setting.integer(
    'minutes without a position of the driver after which the rider may end a ride',
    1,
    600,
    10,
  ),
  TRIP_GROUP_MAX: setting.integer('new trips that one statement writes at most', 1, 256, 32),
  TRIP_GROUPS_MAX: setting.integer('statements with new trips under way at once', 1, 16, 4),
  TRIP_CREATIONS_MAX: setting.integer(
    'requests for a trip that one instance works on at once',
    1,
    10_000,
    1_000,
  ),
  TRIP_HISTORY_DAYS: setting.integer('days that the history of an ended trip is kept', 1, 3_650, 400),
  TRIP_DECISIONS_DAYS: setting.integer('days that it is kept why a driver was asked', 1, 3_650, 30),
  OUTBOX_BACKLOG_MAX: setting.integer(
    'events that may wait for the broker before people hear 503 to what would tell another',
    1,
    100_000_000,
    1_000_000,
  ),
  TRIP_TIMER_POLL_MS: setting.integer('milliseconds between two looks for due timers', 20, 10_000, 200),
});
export type TripSettings = Static<typeof tripSettings>;

/** How long each state of a trip may last. */
export interface TripPolicy {
  dispatchRetryMs: number;
  searchTimeoutMs: number;
  offerTimeoutMs: number;
  pickupTimeoutMs: number;
  noShowTimeoutMs: number;
  tripTimeoutMs: number;
  /** How long a driver sends no position before the rider may end the ride. */
  driverSilentMs: number;
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;

export const tripPolicyOf = (settings: TripSettings): TripPolicy => ({
  dispatchRetryMs: settings.DISPATCH_RETRY_MS,
  searchTimeoutMs: settings.SEARCH_TIMEOUT_SECONDS * secondMs,
  offerTimeoutMs: settings.OFFER_TIMEOUT_SECONDS * secondMs,
  pickupTimeoutMs: settings.PICKUP_TIMEOUT_MINUTES * minuteMs,
  noShowTimeoutMs: settings.NO_SHOW_MINUTES * minuteMs,
  tripTimeoutMs: settings.TRIP_TIMEOUT_HOURS * 60 * minuteMs,
  driverSilentMs: settings.DRIVER_SILENT_MINUTES * minuteMs,
});
