import { authorisationWaitMsMax } from '@contracts/payments.ts';
import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';

export const tripSettings = Type.Object({
  DISPATCH_MODE: setting.choice(
    'how dispatch runs: on events from the bus, or within the request',
    ['events', 'sync'],
    'events',
  ),
  DISPATCH_PREFETCH: setting.integer('trips that one instance dispatches at the same time', 1, 500, 100),
  DISPATCH_RETRY_MS: setting.integer('milliseconds between two searches for a driver', 100, 60_000, 1_500),
  DISPATCH_WINDOW_MS: setting.integer(
    'milliseconds for which requests are collected and then matched together; 0 disables it',
    0,
    2_000,
    0,
  ),
  SEARCH_TIMEOUT_SECONDS: setting.integer('seconds after which a search for a driver ends', 5, 3_600, 120),
  OFFER_TIMEOUT_SECONDS: setting.integer('seconds that a driver has to answer an offer', 1, 110, 15),
  ACCEPT_PAYMENT_WAIT_MS: setting.integer(
    "milliseconds that an accept waits at most for the authorisation of the rider's card; 0 disables it",
    0,
    authorisationWaitMsMax,
    2_000,
  ),
  PICKUP_TIMEOUT_MINUTES: setting.integer('minutes that a driver has to reach the pickup', 1, 600, 45),
  NO_SHOW_MINUTES: setting.integer('minutes that a driver waits at the pickup', 1, 600, 15),
  TRIP_TIMEOUT_HOURS: setting.integer('hours after which a trip in progress counts as stuck', 1, 72, 8),
  DRIVER_SILENT_MINUTES: setting.integer(
    'minutes without a position of the driver after which the rider may complete the trip',
    1,
    600,
    10,
  ),
  TRIP_GROUP_MAX: setting.integer('new trips in one statement at most', 1, 256, 32),
  TRIP_GROUPS_MAX: setting.integer('statements with new trips in flight at most', 1, 16, 4),
  TRIP_CREATIONS_MAX: setting.integer(
    'trip requests that one instance handles at the same time',
    1,
    10_000,
    1_000,
  ),
  TRIP_HISTORY_DAYS: setting.integer('days for which the history of an ended trip is kept', 1, 3_650, 400),
  TRIP_DECISIONS_DAYS: setting.integer('days for which dispatch decisions are kept', 1, 3_650, 30),
  OUTBOX_BACKLOG_MAX: setting.integer(
    'events in the outbox above which requests that would publish another are answered with 503',
    1,
    100_000_000,
    1_000_000,
  ),
  TRIP_TIMER_POLL_MS: setting.integer('milliseconds between two polls for due timers', 20, 10_000, 200),
});
export type TripSettings = Static<typeof tripSettings>;

/** Time limits of the states of a trip. */
export interface TripPolicy {
  dispatchRetryMs: number;
  searchTimeoutMs: number;
  offerTimeoutMs: number;
  pickupTimeoutMs: number;
  noShowTimeoutMs: number;
  tripTimeoutMs: number;
  /** How long a driver must have sent no position before the rider may complete the trip. */
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
