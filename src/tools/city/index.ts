import type { Product } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import { systemRandom } from '@platform/random.ts';
import { type Behaviour, type CityContext, countFailure } from './city-context.ts';
import {
  type ConcurrencyLimit,
  createConcurrencyLimit,
  createTaskGroup,
  type TaskGroup,
} from './concurrency.ts';
import { type Demand, type DemandModel, productOfDriver } from './demand.ts';
import { hoChiMinhCity } from './demand-generator.ts';
import { type CityDriver, startCityDriver } from './driver.ts';
import type { DriverMode } from './driver-state.ts';
import { type ApiCallObserver, createApiTransport } from './http.ts';
import { createObservations } from './observations.ts';
import { createCityPerson } from './person.ts';
import { reportIntervalMs } from './position-reporter.ts';
import { createLabelledRandom } from './random-draws.ts';
import { runRide } from './rider.ts';
import { checkTripList } from './rider-checks.ts';
import { createRiderPool, type RiderPool } from './rider-pool.ts';
import { createStartCodes } from './start-codes.ts';
import { type CitySummary, summarise } from './summary.ts';
import { type CityTally, createCityTally } from './tally.ts';

export type { CitySummary } from './summary.ts';

export interface CityOptions extends Partial<Behaviour> {
  /** The URL of the edge: `http://host:port`. */
  url: string;
  drivers: number;
  /** `Infinity` runs until stopped. */
  trips: number;
  seed: number;
  /** Requests per real second. The default keeps somewhat more than half of the drivers busy. */
  ratePerSecond?: number;
  demand?: DemandModel;
  clock?: Clock;
  /** Observes every API call of every person. */
  observer?: ApiCallObserver;
}

export interface CityProgress {
  phase: 'enrolling' | 'driving' | 'finishing' | 'closing';
  enrolled: { done: number; wanted: number };
  drivers: Record<DriverMode, number>;
  ridesInFlight: number;
  tripsWanted: number;
  tally: CityTally;
  violations: number;
}

export interface City {
  /**
   * Runs until all trips have ended, then closes: everyone is offline and no socket or timer is left. When `signal`
   * aborts, it closes within seconds, whatever is in flight. Rejects with `CityError` if nobody could be enrolled.
   */
  run(signal: AbortSignal): Promise<CitySummary>;
  /** Requests no new rides. Active rides end as usual, and then `run` resolves. */
  stop(): void;
  progress(): CityProgress;
  /** The drivers who are on a trip, with the trip. */
  driversOnTrip(): { driverId: DriverId; tripId: TripId }[];
  /** Simulates that the driver loses their phone permanently. */
  disconnectDriver(driverId: DriverId): void;
}

/** The city could not start; the message gives the reason. */
export class CityError extends Error {
  override readonly name = 'CityError';
}

export const defaultBehaviour: Behaviour = {
  timeScale: 20,
  declineRate: 0.05,
  darkRate: 0.01,
  cancelRate: 0.03,
  declinedCardRate: 0,
};

// Hashing a password is the most expensive request for the server, so only few people enrol at once.
const concurrentEnrolmentsMax = 8;
const closeGraceMs = 2_000;

/** Simulates drivers and riders against a server, using only its public API. */
export function createCity(options: CityOptions): City {
  const stopping = new AbortController();
  const closing = new AbortController();
  const ended = new AbortController();
  const context = createWorld(options, closing.signal, ended.signal);
  const gate = createConcurrencyLimit(concurrentEnrolmentsMax);
  const run: CityRun = {
    context,
    options,
    ratePerSecond: options.ratePerSecond ?? defaultRate(options.drivers, context.behaviour),
    gate,
    riders: createRiderPool(context, gate),
    drivers: [],
    shifts: createTaskGroup(() => closing.abort()),
    rides: createTaskGroup(() => closing.abort()),
    arrivals: AbortSignal.any([stopping.signal, closing.signal]),
    phase: 'enrolling',
    enrolled: { done: 0, wanted: 0 },
  };

  return {
    async run(signal) {
      const startedMs = context.clock.nowMs();
      const close = () => closing.abort();
      if (signal.aborted) close();
      signal.addEventListener('abort', close, { once: true });
      closing.signal.addEventListener('abort', () => void endAfterGracePeriod(run, ended));
      try {
        await runCity(run);
      } finally {
        signal.removeEventListener('abort', close);
        run.phase = 'closing';
        closing.abort();
        await closeCity(run).finally(() => ended.abort());
      }
      const durationSeconds = (context.clock.nowMs() - startedMs) / 1000;
      const people = { drivers: run.drivers.length, riders: run.riders.all().length };
      const { violations } = context.observations;
      return summarise({ tally: context.tally, violations, ...people, seed: options.seed, durationSeconds });
    },
    stop: () => stopping.abort(),
    progress: () => progressOf(run),
    driversOnTrip: () =>
      run.drivers.flatMap(({ id: driverId, mode, currentTripId }) => {
        const tripId = currentTripId();
        return tripId === undefined || mode() !== 'on_trip' ? [] : [{ driverId, tripId }];
      }),
    disconnectDriver(driverId) {
      for (const driver of run.drivers) if (driver.id === driverId) driver.disconnect();
    },
  };
}

interface CityRun {
  context: CityContext;
  options: CityOptions;
  ratePerSecond: number;
  gate: ConcurrencyLimit;
  riders: RiderPool;
  drivers: CityDriver[];
  shifts: TaskGroup;
  rides: TaskGroup;
  /** Aborts when no more rides should be requested. */
  arrivals: AbortSignal;
  phase: CityProgress['phase'];
  enrolled: CityProgress['enrolled'];
}

function createWorld(options: CityOptions, closing: AbortSignal, signal: AbortSignal): CityContext {
  const clock = options.clock ?? systemClock;
  const tally = createCityTally();
  const baseUrl = options.url.replace(/\/+$/, '');
  const behaviour = { ...defaultBehaviour, ...options };
  return {
    behaviour,
    seed: options.seed,
    runTag: Buffer.from(systemRandom.bytes(6)).toString('hex'),
    socketUrl: baseUrl.replace(/^http/, 'ws'),
    clock,
    jitter: systemRandom,
    transport: createApiTransport({
      baseUrl,
      clock,
      random: systemRandom,
      tally,
      observer: options.observer,
    }),
    demand: options.demand ?? hoChiMinhCity,
    tally,
    observations: createObservations(),
    startCodes: createStartCodes(clock),
    disturbedTripIds: new Set(),
    creditedTripIds: new Set(),
    closing,
    signal,
  };
}

// A ride takes about 40 s of a driver at the default time scale, so this keeps about 60% of the drivers busy.
const defaultTripsPerDriverSecond = 1 / 65;
const defaultTimeScale = 20;
const defaultRate = (drivers: number, { timeScale }: Behaviour): number =>
  Math.max(0.01, drivers * defaultTripsPerDriverSecond * (timeScale / defaultTimeScale));

// From the request to the receipt: simulated driving and real waiting.
const ridersBusy = { drivingSeconds: 750, waitingSeconds: 5, reserve: 1.2 };

async function runCity(run: CityRun): Promise<void> {
  const { context, options, ratePerSecond } = run;
  const busySeconds = ridersBusy.drivingSeconds / context.behaviour.timeScale + ridersBusy.waitingSeconds;
  const riders = Math.min(options.trips, Math.ceil(ratePerSecond * busySeconds * ridersBusy.reserve) + 2);
  run.enrolled.wanted = options.drivers + riders;
  const onEnrolled = () => void run.enrolled.done++;
  const driving = Array.from({ length: options.drivers }, (_, index) =>
    run.gate.run(() => enrolDriver(run, index)).then(onEnrolled),
  );
  await Promise.all([...driving, run.riders.enrol(riders, onEnrolled)]);
  if (!context.closing.aborted) assertPeople(run);
  // Every driver reports a position at least once before the first ride is requested.
  await context.clock.sleep(reportIntervalMs, run.arrivals);
  run.phase = 'driving';
  await requestRides(run);
  run.phase = 'finishing';
  await run.rides.waitForAll();
  if (context.closing.aborted) return;
  await Promise.all([
    ...run.riders.all().map((rider) => run.gate.run(() => checkTripList(context, rider))),
    ...run.drivers.map((driver) => run.gate.run(driver.checkEarnings)),
  ]);
}

async function enrolDriver(run: CityRun, index: number): Promise<void> {
  const { context } = run;
  if (context.closing.aborted) return;
  const person = await createCityPerson(context, 'driver', index + 1);
  if (!person.ok) return countFailure(context, person, false);
  const product: Product = productOfDriver(index);
  const random = createLabelledRandom(context.seed, `driver-${index}`);
  const driver = await startCityDriver(context, person.value, index, product, random);
  if (driver === undefined) return;
  run.drivers.push(driver);
  run.shifts.add(driver.run());
}

function assertPeople({ drivers, riders, context, options }: CityRun): void {
  const reason = `the server rejected them: ${[...context.tally.errors.keys()].join(', ') || 'without a code'}`;
  if (options.drivers > 0 && drivers.length === 0)
    throw new CityError(`no driver could be enrolled; ${reason}`);
  if (options.trips > 0 && riders.all().length === 0)
    throw new CityError(`no rider could be enrolled; ${reason}`);
}

async function requestRides(run: CityRun): Promise<void> {
  const { context, options, ratePerSecond, arrivals } = run;
  const openedMs = context.clock.nowMs();
  for (const demand of context.demand.requests(ratePerSecond, createLabelledRandom(context.seed, 'demand'))) {
    if (demand.index >= options.trips) return;
    const dueMs = openedMs + demand.atSeconds * 1000 - context.clock.nowMs();
    if (dueMs > 0) await context.clock.sleep(dueMs, arrivals);
    if (arrivals.aborted) return;
    run.rides.add(runOneRide(run, demand));
  }
}

async function runOneRide({ context, riders }: CityRun, demand: Demand): Promise<void> {
  const rider = await riders.acquire();
  if (rider === undefined) return;
  const isFree = await runRide(context, rider, demand, riders.personOtherThan(rider));
  if (isFree) riders.release(rider);
}

/** Waits until drivers have gone offline, which they do by themselves when the city closes, and closes the riders' connections. */
async function closeCity(run: CityRun): Promise<void> {
  const results = await Promise.allSettled([
    run.rides.waitForAll(),
    run.shifts.waitForAll(),
    ...run.riders.all().map(({ person }) => person.live.close()),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Ends all requests after a grace period. After a normal end everything is done by then. */
async function endAfterGracePeriod({ context, phase }: CityRun, ended: AbortController): Promise<void> {
  const graceMs = phase === 'closing' ? closeGraceMs * 10 : closeGraceMs;
  await context.clock.sleep(graceMs, ended.signal);
  ended.abort();
}

function progressOf(run: CityRun): CityProgress {
  const drivers: CityProgress['drivers'] = { idle: 0, on_trip: 0, dark: 0, away: 0 };
  for (const driver of run.drivers) drivers[driver.mode()]++;
  return {
    phase: run.phase,
    enrolled: run.enrolled,
    drivers,
    ridesInFlight: run.rides.size(),
    tripsWanted: run.options.trips,
    tally: run.context.tally,
    violations: run.context.observations.violations.length,
  };
}
