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

/** How another context's internal app is asked: in this very process, or over the balanced client. */
export type InternalTarget = InProcess | UpstreamFetch;
interface InProcess {
  url: string;
  fetch: (request: Request) => Response | Promise<Response>;
}

// What a service waits for another, well inside the time that its own caller waits.
const callTimeoutMs = 3_000;

interface CallRules {
  timeoutMs?: number;
  /** Whether what a client asks may be done twice. */
  isRepeatable: boolean;
}

/** An Eden client's address and options: who we are, how long we wait, no parsing of dates. */
function between(
  { clock }: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  to: string,
  reach: InternalTarget,
  { timeoutMs = callTimeoutMs, isRepeatable }: CallRules,
) {
  const url = typeof reach === 'function' ? `http://${to}` : reach.url;
  const fetcher =
    typeof reach === 'function'
      ? async (input: string, { method = 'GET', headers: sent, body }: EdenRequest) =>
          reach({
            method,
            target: input.slice(url.length),
            headers: sent,
            ...(body === undefined ? {} : { body }),
            timeoutMs,
            isRepeatable,
          })
      : async (input: string, init: RequestInit) =>
          reach.fetch(new Request(input, { ...init, signal: AbortSignal.timeout(timeoutMs) }));
  const options = {
    parseDate: false,
    onRequest: () => ({
      headers: {
        [headers.serviceToken]: credentials.tokenFor(to),
        [headers.deadline]: String(clock.nowMs() + timeoutMs),
      },
    }),
    // Eden gives its fetcher just these.
    fetcher: fetcher as unknown as typeof fetch,
  };
  return [url, options] as const;
}

/** What Eden asks with: a body that is JSON already, and headers as an object. */
interface EdenRequest {
  method?: string;
  headers: Record<string, string>;
  body?: string;
}

interface Answer<Data> {
  data: Data | null;
  error: { status: unknown; value: unknown } | null;
}

/** The data of an answer; anything else is told as an outage, since between services no call is wrong by design. */
async function dataOf<Data>(answering: Promise<Answer<Data>>): Promise<Data> {
  const { data, error } = await answering;
  if (error === null) return data as Data;
  throw problem('service.unavailable', {
    // A call without an answer has the fault of the balanced client, which has the reason.
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
  reach: InternalTarget,
): DriverPool {
  const calls = (isRepeatable: boolean) =>
    treaty<ReturnType<typeof createDriverInternalRoutes>>(
      ...between(runtime, credentials, 'driver', reach, { isRepeatable }),
    ).internal.driver;
  const driver = calls(true);
  // A second hold is refused, also to the trip that has the first: it would hide that the first succeeded.
  const holding = calls(false);
  return {
    findCandidates: async (query) => (await dataOf(driver.candidates.post(query))).candidates,
    hold: (request) => dataOf(holding.holds.post(request)),
    release: async (request) => void (await dataOf(driver.releases.post(request))),
    async findLastPositionAtMs(tripId) {
      const { lastAt } = await dataOf(driver.tracks({ tripId }).last.get());
      return lastAt === null ? null : Date.parse(lastAt);
    },
  };
}

/** Positions from live connections, over the network. */
export function createPositionCallsClient(
  runtime: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  reach: InternalTarget,
): PositionBatchClient {
  const { driver } = treaty<ReturnType<typeof createDriverInternalRoutes>>(
    // A position that comes twice is refused as stale.
    ...between(runtime, credentials, 'driver', reach, { isRepeatable: false }),
  ).internal;
  return {
    record: async (updates) => (await dataOf(driver.positions.post({ updates: [...updates] }))).results,
  };
}

/**
 * The same in one process: straight into the driver context. These are most of all that comes in, and
 * gathering them, writing them as JSON and reading them again cost three times what is done with them.
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
    // The driver context finishes what it has taken.
    drain: async () => undefined,
  };
}

export function createActiveTripsClient(
  runtime: Pick<Runtime, 'clock'>,
  credentials: ServiceCredentials,
  reach: InternalTarget,
): ActiveTrips {
  const { trip } = treaty<ReturnType<typeof createTripInternalRoutes>>(
    ...between(runtime, credentials, 'trip', reach, { timeoutMs: snapshotTimeoutMs, isRepeatable: true }),
  ).internal;
  return { findByPeople: async (people) => (await dataOf(trip.active.post({ people: [...people] }))).items };
}

/** What was driven on trips. */
export function createTripTracksClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  reach: InternalTarget,
): TripTracks {
  const { driver } = treaty<ReturnType<typeof createDriverInternalRoutes>>(
    ...between(runtime, credentials, 'driver', reach, { timeoutMs: trackWaitMsMax, isRepeatable: true }),
  ).internal;
  return { summarise: (tripId, from, to) => dataOf(driver.tracks({ tripId }).get({ query: { from, to } })) };
}

export function createFareQuotesClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  reach: InternalTarget,
): FareQuotes {
  const { payment } = treaty<ReturnType<typeof createPaymentInternal>>(
    ...between(runtime, credentials, 'payment', reach, { isRepeatable: true }),
  ).internal;
  return {
    async find(quoteId, riderId) {
      const answer = await payment.quotes({ id: quoteId }).get({ query: { riderId } });
      if (answer.error !== null && codeOf(answer.error) === 'quote.not_found') return undefined;
      return dataOf(Promise.resolve(answer));
    },
  };
}

export function createPaymentAuthorisationsClient(
  runtime: Runtime,
  credentials: ServiceCredentials,
  reach: InternalTarget,
): PaymentAuthorisations {
  const { payment } = treaty<ReturnType<typeof createPaymentInternal>>(
    ...between(runtime, credentials, 'payment', reach, { isRepeatable: true }),
  ).internal;
  return {
    waitForState: async (tripId, withinMs) =>
      (await dataOf(payment.authorisations({ tripId }).get({ query: { withinMs } }))).state,
  };
}
