import type { Product } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import { systemRandom } from '@platform/random.ts';
import type { DriverMode } from './cab.ts';
import { randomFor } from './chance.ts';
import { type Crowd, createCrowd, createGate, type Gate } from './crowd.ts';
import { type Demand, type DemandModel, productOfDriver } from './demand.ts';
import { hoChiMinhCity } from './demand-generator.ts';
import { type Driver, startDriver } from './driver.ts';
import { createHandover } from './handover.ts';
import { type CallWatch, createHttp } from './http.ts';
import { createObservations } from './observations.ts';
import { createPerson } from './person.ts';
import { reportEveryMs } from './reporter.ts';
import { takeRide } from './rider.ts';
import { rollCall } from './rider-checks.ts';
import { createRiderPool, type RiderPool } from './rider-pool.ts';
import { type CitySummary, summarise } from './summary.ts';
import { createTally, type Tally } from './tally.ts';
import { type Behaviour, noteRefusal, type World } from './world.ts';

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
  watch?: CallWatch;
}

export interface Progress {
  phase: 'enrolling' | 'driving' | 'finishing' | 'closing';
  enrolled: { done: number; wanted: number };
  drivers: Record<DriverMode, number>;
  ridesUnderWay: number;
  tripsWanted: number;
  tally: Tally;
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
  progress(): Progress;
  /** Drivers who are on a trip, and which. */
  riding(): { driverId: DriverId; tripId: TripId }[];
  /** The driver loses the phone for good, wherever they are. */
  silence(driverId: DriverId): void;
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
  const gate = createGate(enrolledAtOnceMax);
  const town: Town = {
    world,
    options,
    ratePerSecond: options.ratePerSecond ?? usualRate(options.drivers, world.behaviour),
    gate,
    riders: createRiderPool(world, gate),
    drivers: [],
    shifts: createCrowd(() => closing.abort()),
    rides: createCrowd(() => closing.abort()),
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
    riding: () =>
      town.drivers.flatMap(({ id: driverId, mode, serving }) => {
        const tripId = serving();
        return tripId === undefined || mode() !== 'on_trip' ? [] : [{ driverId, tripId }];
      }),
    silence(driverId) {
      for (const driver of town.drivers) if (driver.id === driverId) driver.silence();
    },
  };
}

interface Town {
  world: World;
  options: CityOptions;
  ratePerSecond: number;
  gate: Gate;
  riders: RiderPool;
  drivers: Driver[];
  shifts: Crowd;
  rides: Crowd;
  /** Aborts when nobody shall ask for a ride any more. */
  arrivals: AbortSignal;
  phase: Progress['phase'];
  enrolled: Progress['enrolled'];
}

function createWorld(options: CityOptions, closing: AbortSignal, signal: AbortSignal): World {
  const clock = options.clock ?? systemClock;
  const tally = createTally();
  const baseUrl = options.url.replace(/\/+$/, '');
  const behaviour = { ...defaultBehaviour, ...options };
  return {
    behaviour,
    seed: options.seed,
    runTag: Buffer.from(systemRandom.bytes(6)).toString('hex'),
    socketUrl: baseUrl.replace(/^http/, 'ws'),
    clock,
    jitter: systemRandom,
    http: createHttp({ baseUrl, clock, random: systemRandom, tally, watch: options.watch }),
    demand: options.demand ?? hoChiMinhCity,
    tally,
    observations: createObservations(),
    handover: createHandover(clock),
    stirred: new Set(),
    credited: new Set(),
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
  await Promise.all([...driving, town.riders.prepare(riders, onEnrolled)]);
  if (!world.closing.aborted) assertPeople(town);
  // So that every driver has been seen at least once before the first rider asks.
  await world.clock.sleep(reportEveryMs, town.arrivals);
  town.phase = 'driving';
  await letRidesHappen(town);
  town.phase = 'finishing';
  await town.rides.done();
  if (world.closing.aborted) return;
  await Promise.all([
    ...town.riders.all().map((rider) => town.gate.run(() => rollCall(world, rider))),
    ...town.drivers.map((driver) => town.gate.run(driver.checkEarnings)),
  ]);
}

async function enrolDriver(town: Town, index: number): Promise<void> {
  const { world } = town;
  if (world.closing.aborted) return;
  const person = await createPerson(world, 'driver', index + 1);
  if (!person.ok) return noteRefusal(world, person, false);
  const product: Product = productOfDriver(index);
  const random = randomFor(world.seed, `driver-${index}`);
  const driver = await startDriver(world, person.value, index, product, random);
  if (driver === undefined) return;
  town.drivers.push(driver);
  town.shifts.add(driver.work());
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
  for (const demand of world.demand.requests(ratePerSecond, randomFor(world.seed, 'demand'))) {
    if (demand.index >= options.trips) return;
    const dueMs = openedMs + demand.atSeconds * 1000 - world.clock.nowMs();
    if (dueMs > 0) await world.clock.sleep(dueMs, arrivals);
    if (arrivals.aborted) return;
    town.rides.add(rideOnce(town, demand));
  }
}

async function rideOnce({ world, riders }: Town, demand: Demand): Promise<void> {
  const rider = await riders.take();
  if (rider === undefined) return;
  const isFree = await takeRide(world, rider, demand, riders.stranger(rider));
  if (isFree) riders.give(rider);
}

/** Drivers go offline by themselves when the city closes; riders only hang up. */
async function leaveTown(town: Town): Promise<void> {
  const results = await Promise.allSettled([
    town.rides.done(),
    town.shifts.done(),
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

function progressOf(town: Town): Progress {
  const drivers: Progress['drivers'] = { idle: 0, on_trip: 0, dark: 0, away: 0 };
  for (const driver of town.drivers) drivers[driver.mode()]++;
  return {
    phase: town.phase,
    enrolled: town.enrolled,
    drivers,
    ridesUnderWay: town.rides.size(),
    tripsWanted: town.options.trips,
    tally: town.world.tally,
    violations: town.world.observations.violations.length,
  };
}
