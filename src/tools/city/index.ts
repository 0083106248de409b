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
  /** Of the edge: `http://host:port`. */
  url: string;
  drivers: number;
  /** `Infinity` drives until it is stopped. */
  trips: number;
  seed: number;
  /** Requests per real second; default: what keeps somewhat more than half of the drivers busy. */
  ratePerSecond?: number;
  demand?: DemandModel;
  clock?: Clock;
  /** Hears of every call of everybody. */
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
   * Lives until all trips have ended, then closes: everybody offline, no socket, no timer left. When
   * `signal` aborts it closes within some seconds, whatever is under way. Rejects when nobody could be
   * enrolled (`CityError`).
   */
  run(signal: AbortSignal): Promise<CitySummary>;
  /** No new rides; those under way end as usual, and so does `run`. */
  stop(): void;
  progress(): CityProgress;
  /** Drivers who are on a trip, and which. */
  driversOnTrip(): { driverId: DriverId; tripId: TripId }[];
  /** The driver loses the phone for good, wherever they are. */
  disconnectDriver(driverId: DriverId): void;
}

/** The city could not begin; the message says why. */
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

// Hashing a password is the dearest thing that the server does for us: few at a time.
const enrolledAtOnceMax = 8;
const closeGraceMs = 2_000;

/** Drivers that move and riders that ask, against a server that is known only by its public surface. */
export function createCity(options: CityOptions): City {
  const stopping = new AbortController();
  const closing = new AbortController();
  const ended = new AbortController();
  const world = createWorld(options, closing.signal, ended.signal);
  const gate = createConcurrencyLimit(enrolledAtOnceMax);
  const town: Town = {
    world,
    options,
    ratePerSecond: options.ratePerSecond ?? usualRate(options.drivers, world.behaviour),
    gate,
    riders: createRiderPool(world, gate),
    drivers: [],
    shifts: createTaskGroup(() => closing.abort()),
    rides: createTaskGroup(() => closing.abort()),
    arrivals: AbortSignal.any([stopping.signal, closing.signal]),
    phase: 'enrolling',
    enrolled: { done: 0, wanted: 0 },
  };

  return {
    async run(signal) {
      const startedMs = world.clock.nowMs();
      const close = () => closing.abort();
      if (signal.aborted) close();
      signal.addEventListener('abort', close, { once: true });
      closing.signal.addEventListener('abort', () => void endSoon(town, ended));
      try {
        await live(town);
      } finally {
        signal.removeEventListener('abort', close);
        town.phase = 'closing';
        closing.abort();
        await leaveTown(town).finally(() => ended.abort());
      }
      const durationSeconds = (world.clock.nowMs() - startedMs) / 1000;
      const people = { drivers: town.drivers.length, riders: town.riders.all().length };
      const { violations } = world.observations;
      return summarise({ tally: world.tally, violations, ...people, seed: options.seed, durationSeconds });
    },
    stop: () => stopping.abort(),
    progress: () => progressOf(town),
    driversOnTrip: () =>
      town.drivers.flatMap(({ id: driverId, mode, currentTripId }) => {
        const tripId = currentTripId();
        return tripId === undefined || mode() !== 'on_trip' ? [] : [{ driverId, tripId }];
      }),
    disconnectDriver(driverId) {
      for (const driver of town.drivers) if (driver.id === driverId) driver.disconnect();
    },
  };
}

interface Town {
  world: CityContext;
  options: CityOptions;
  ratePerSecond: number;
  gate: ConcurrencyLimit;
  riders: RiderPool;
  drivers: CityDriver[];
  shifts: TaskGroup;
  rides: TaskGroup;
  /** Aborts when nobody shall ask for a ride any more. */
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

// A ride takes its driver about 40 s at the usual time scale: this keeps some 60% of them busy.
const usualTripsPerDriverSecond = 1 / 65;
const usualTimeScale = 20;
const usualRate = (drivers: number, { timeScale }: Behaviour): number =>
  Math.max(0.01, drivers * usualTripsPerDriverSecond * (timeScale / usualTimeScale));

// From asking to the receipt: simulated driving and real waiting.
const ridersBusy = { drivingSeconds: 750, waitingSeconds: 5, reserve: 1.2 };

async function live(town: Town): Promise<void> {
  const { world, options, ratePerSecond } = town;
  const busySeconds = ridersBusy.drivingSeconds / world.behaviour.timeScale + ridersBusy.waitingSeconds;
  const riders = Math.min(options.trips, Math.ceil(ratePerSecond * busySeconds * ridersBusy.reserve) + 2);
  town.enrolled.wanted = options.drivers + riders;
  const onEnrolled = () => void town.enrolled.done++;
  const driving = Array.from({ length: options.drivers }, (_, index) =>
    town.gate.run(() => enrolDriver(town, index)).then(onEnrolled),
  );
  await Promise.all([...driving, town.riders.enrol(riders, onEnrolled)]);
  if (!world.closing.aborted) assertPeople(town);
  // So that every driver has been seen at least once before the first rider asks.
  await world.clock.sleep(reportIntervalMs, town.arrivals);
  town.phase = 'driving';
  await letRidesHappen(town);
  town.phase = 'finishing';
  await town.rides.waitForAll();
  if (world.closing.aborted) return;
  await Promise.all([
    ...town.riders.all().map((rider) => town.gate.run(() => checkTripList(world, rider))),
    ...town.drivers.map((driver) => town.gate.run(driver.checkEarnings)),
  ]);
}

async function enrolDriver(town: Town, index: number): Promise<void> {
  const { world } = town;
  if (world.closing.aborted) return;
  const person = await createCityPerson(world, 'driver', index + 1);
  if (!person.ok) return countFailure(world, person, false);
  const product: Product = productOfDriver(index);
  const random = createLabelledRandom(world.seed, `driver-${index}`);
  const driver = await startCityDriver(world, person.value, index, product, random);
  if (driver === undefined) return;
  town.drivers.push(driver);
  town.shifts.add(driver.run());
}

function assertPeople({ drivers, riders, world, options }: Town): void {
  const why = `the server refused: ${[...world.tally.errors.keys()].join(', ') || 'without a code'}`;
  if (options.drivers > 0 && drivers.length === 0) throw new CityError(`no driver could be enrolled; ${why}`);
  if (options.trips > 0 && riders.all().length === 0)
    throw new CityError(`no rider could be enrolled; ${why}`);
}

async function letRidesHappen(town: Town): Promise<void> {
  const { world, options, ratePerSecond, arrivals } = town;
  const openedMs = world.clock.nowMs();
  for (const demand of world.demand.requests(ratePerSecond, createLabelledRandom(world.seed, 'demand'))) {
    if (demand.index >= options.trips) return;
    const dueMs = openedMs + demand.atSeconds * 1000 - world.clock.nowMs();
    if (dueMs > 0) await world.clock.sleep(dueMs, arrivals);
    if (arrivals.aborted) return;
    town.rides.add(rideOnce(town, demand));
  }
}

async function rideOnce({ world, riders }: Town, demand: Demand): Promise<void> {
  const rider = await riders.acquire();
  if (rider === undefined) return;
  const isFree = await runRide(world, rider, demand, riders.personOtherThan(rider));
  if (isFree) riders.release(rider);
}

/** Drivers go offline by themselves when the city closes; riders only hang up. */
async function leaveTown(town: Town): Promise<void> {
  const results = await Promise.allSettled([
    town.rides.waitForAll(),
    town.shifts.waitForAll(),
    ...town.riders.all().map(({ person }) => person.live.close()),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** After a normal end everything is done by then; after an abort it has to be. */
async function endSoon({ world, phase }: Town, ended: AbortController): Promise<void> {
  const graceMs = phase === 'closing' ? closeGraceMs * 10 : closeGraceMs;
  await world.clock.sleep(graceMs, ended.signal);
  ended.abort();
}

function progressOf(town: Town): CityProgress {
  const drivers: CityProgress['drivers'] = { idle: 0, on_trip: 0, dark: 0, away: 0 };
  for (const driver of town.drivers) drivers[driver.mode()]++;
  return {
    phase: town.phase,
    enrolled: town.enrolled,
    drivers,
    ridesInFlight: town.rides.size(),
    tripsWanted: town.options.trips,
    tally: town.world.tally,
    violations: town.world.observations.violations.length,
  };
}
