import { headers, ProblemDetails } from '@contracts/common.ts';
import { treaty } from '@elysia/eden';
import type { createDriverInternalRoutes } from '@modules/driver/internal.ts';
import type { Intake } from '@modules/driver/positions/intake.ts';
import { rejectionCodesOf } from '@modules/notification/live/position-batcher.ts';
import { snapshotTimeoutMs } from '@modules/notification/live/snapshots.ts';
import type { ActiveTrips, PositionBatchClient, PositionSink } from '@modules/notification/ports.ts';
import type { createPaymentInternal } from '@modules/payment/internal.ts';
import { type TripTracks, trackWaitMsMax } from '@modules/payment/ports.ts';
import type { createTripInternalRoutes } from '@modules/trip/internal.ts';
import type { DriverPool, FareQuotes, PaymentAuthorisations } from '@modules/trip/ports.ts';
import type { ServiceCredentials } from '@platform/auth/service-tokens.ts';
import { Problem, problem } from '@platform/problems.ts';
import type { UpstreamFetch } from '@platform/upstream/fetch.ts';
import { Value } from '@sinclair/typebox/value';
import type { Runtime } from './process.ts';

/** How to reach another context's internal routes: in this process, or through the balanced client. */
export type InternalTarget = InProcessTarget | UpstreamFetch;
interface InProcessTarget {
  url: string;
  fetch: (request: Request) => Response | Promise<Response>;
}

// How long one service waits for another. It is well below the time that its own caller waits.
const callTimeoutMs = 3_000;

interface CallOptions {
  timeoutMs?: number;
  /** Whether the calls of a client may be sent twice. */
  isRepeatable: boolean;
}

/** The address and options of an Eden client: credentials, timeout, and no parsing of dates. */
function edenArguments(
  { clock }: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  service: string,
  target: InternalTarget,
  { timeoutMs = callTimeoutMs, isRepeatable }: CallOptions,
) {
  const url = typeof target === 'function' ? `http://${service}` : target.url;
  const fetcher =
    typeof target === 'function'
      ? async (input: string, { method = 'GET', headers: requestHeaders, body }: EdenRequest) =>
          target({
            method,
            target: input.slice(url.length),
            headers: requestHeaders,
            ...(body === undefined ? {} : { body }),
            timeoutMs,
            isRepeatable,
          })
      : async (input: string, init: RequestInit) =>
          target.fetch(new Request(input, { ...init, signal: AbortSignal.timeout(timeoutMs) }));
  const options = {
    parseDate: false,
    onRequest: () => ({
      headers: {
        [headers.serviceToken]: credentials.tokenFor(service),
        [headers.deadline]: String(clock.nowMs() + timeoutMs),
      },
    }),
    // Eden calls its fetcher with exactly these arguments.
    fetcher: fetcher as unknown as typeof fetch,
  };
  return [url, options] as const;
}

/** What Eden passes to its fetcher: a body that is already JSON, and headers as an object. */
interface EdenRequest {
  method?: string;
  headers: Record<string, string>;
  body?: string;
}

interface EdenResponse<Data> {
  data: Data | null;
  error: { status: unknown; value: unknown } | null;
}

/** The data of a response. Every error becomes an outage, because calls between services are valid by design. */
async function dataOf<Data>(pending: Promise<EdenResponse<Data>>): Promise<Data> {
  const { data, error } = await pending;
  if (error === null) return data as Data;
  throw problem('service.unavailable', {
    // When no response came, the error is the problem of the balanced client, which has the reason.
    cause:
      error.value instanceof Error
        ? error.value
        : new Error(`a service answered ${codeOf(error) ?? error.status}`),
    retryAfterSeconds: 1,
  });
}

const codeOf = ({ value }: { value: unknown }): string | undefined =>
  Value.Check(ProblemDetails, value) ? value.code : undefined;

export function createDriverPoolClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  target: InternalTarget,
): DriverPool {
  const createCalls = (isRepeatable: boolean) =>
    treaty<ReturnType<typeof createDriverInternalRoutes>>(
      ...edenArguments(runtime, credentials, 'driver', target, { isRepeatable }),
    ).internal.driver;
  const driver = createCalls(true);
  // A second hold is rejected, even for the trip that has the first one. A repeat would hide that the first succeeded.
  const unrepeatedDriver = createCalls(false);
  return {
    findCandidates: async (query) => (await dataOf(driver.candidates.post(query))).candidates,
    hold: (request) => dataOf(unrepeatedDriver.holds.post(request)),
    release: async (request) => void (await dataOf(driver.releases.post(request))),
    async findLastPositionAtMs(tripId) {
      const { lastAt } = await dataOf(driver.tracks({ tripId }).last.get());
      return lastAt === null ? null : Date.parse(lastAt);
    },
  };
}

/** Sends positions from live connections to the driver service over the network. */
export function createPositionBatchClient(
  runtime: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  target: InternalTarget,
): PositionBatchClient {
  const { driver } = treaty<ReturnType<typeof createDriverInternalRoutes>>(
    // A position that arrives twice is rejected as stale, so calls are not repeated.
    ...edenArguments(runtime, credentials, 'driver', target, { isRepeatable: false }),
  ).internal;
  return {
    record: async (updates) => (await dataOf(driver.positions.post({ updates: [...updates] }))).results,
  };
}

/**
 * Passes positions from live connections straight to the driver context in the same process. Positions are most
 * of the traffic, and batching, serializing and parsing them cost three times as much as handling them.
 */
export function createInProcessPositionSink(intake: Intake): PositionSink {
  return {
    async record(driverId, points) {
      try {
        return rejectionCodesOf(await intake.acceptBatch(driverId, points));
      } catch (error) {
        if (error instanceof Problem) return [error.code];
        throw error;
      }
    },
    // The driver context itself finishes the positions that it has accepted.
    drain: async () => undefined,
  };
}

export function createActiveTripsClient(
  runtime: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  target: InternalTarget,
): ActiveTrips {
  const { trip } = treaty<ReturnType<typeof createTripInternalRoutes>>(
    ...edenArguments(runtime, credentials, 'trip', target, {
      timeoutMs: snapshotTimeoutMs,
      isRepeatable: true,
    }),
  ).internal;
  return { findByPeople: async (people) => (await dataOf(trip.active.post({ people: [...people] }))).items };
}

/** Reads the distance and time driven on trips. */
export function createTripTracksClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  target: InternalTarget,
): TripTracks {
  const { driver } = treaty<ReturnType<typeof createDriverInternalRoutes>>(
    ...edenArguments(runtime, credentials, 'driver', target, {
      timeoutMs: trackWaitMsMax,
      isRepeatable: true,
    }),
  ).internal;
  return { summarise: (tripId, from, to) => dataOf(driver.tracks({ tripId }).get({ query: { from, to } })) };
}

export function createFareQuotesClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  target: InternalTarget,
): FareQuotes {
  const { payment } = treaty<ReturnType<typeof createPaymentInternal>>(
    ...edenArguments(runtime, credentials, 'payment', target, { isRepeatable: true }),
  ).internal;
  return {
    async find(quoteId, riderId) {
      const response = await payment.quotes({ id: quoteId }).get({ query: { riderId } });
      if (response.error !== null && codeOf(response.error) === 'quote.not_found') return undefined;
      return dataOf(Promise.resolve(response));
    },
  };
}

export function createPaymentAuthorisationsClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  target: InternalTarget,
): PaymentAuthorisations {
  const { payment } = treaty<ReturnType<typeof createPaymentInternal>>(
    ...edenArguments(runtime, credentials, 'payment', target, { isRepeatable: true }),
  ).internal;
  return {
    waitForState: async (tripId, withinMs) =>
      (await dataOf(payment.authorisations({ tripId }).get({ query: { withinMs } }))).state,
  };
}
