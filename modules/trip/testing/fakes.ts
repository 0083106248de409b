import type { Candidate, CandidateQuery, Vehicle } from '@contracts/drivers.ts';
import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { DriverId, PaymentId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { AuthorisationState, Quote } from '@contracts/payments.ts';
import type { ManualClock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { DriverPool, FareQuotes, PaymentAuthorisations } from '../ports.ts';
import { createSampleQuote } from './sample-quote.ts';

// In-memory implementations of the ports of the trip context.

export interface TestTripDriver {
  id: DriverId;
  role: 'driver';
  name: string | null;
  plate: string;
}

const reachMetres = 20_000;

export interface FakeDrivers {
  pool: DriverPool;
  /** Adds an available driver with a car. */
  add(position: LatLng): TestTripDriver;
  /** Changes the vehicle of the driver. Null means that they go offline. */
  changeVehicle(driverId: DriverId, vehicle: Vehicle | null): void;
  /** Called at the start of each hold. */
  beforeHold: (driverId: DriverId) => void;
  /** Ends the holds of trips that no longer need them, as the driver context does. */
  applyTripEvent(event: DomainEvent<TripEventType>): void;
  positionOf(driverId: DriverId): LatLng;
  /** The trip that holds each driver. */
  holds: Map<DriverId, TripId>;
  queries: CandidateQuery[];
  /** When the newest position of each trip was recorded, in Unix ms. */
  lastPositionsAtMs: Map<TripId, number>;
  /** If false, every call rejects, as while the driver service is down. */
  isReachable: boolean;
  /** Makes every call wait until the returned function is called, as while the driver service hangs. */
  hang(): () => void;
  /** Number of calls that wait because of `hang`. */
  waitingCalls(): number;
  /** If false, every hold is granted, so that only the database prevents conflicts. */
  enforcesHolds: boolean;
}

export function createFakeDrivers(ids: Ids): FakeDrivers {
  const fleet: (Omit<Candidate, 'distanceMetres'> & { vehicle: Vehicle | null })[] = [];
  let gatePromise: Promise<void> | undefined;
  let waiting = 0;
  const fake: FakeDrivers = {
    holds: new Map(),
    lastPositionsAtMs: new Map(),
    queries: [],
    isReachable: true,
    hang() {
      const gate = Promise.withResolvers<void>();
      gatePromise = gate.promise;
      return () => {
        gatePromise = undefined;
        gate.resolve();
      };
    },
    waitingCalls: () => waiting,
    enforcesHolds: true,
    beforeHold: () => undefined,
    changeVehicle(driverId, vehicle) {
      for (const driver of fleet) if (driver.driverId === driverId) driver.vehicle = vehicle;
    },
    applyTripEvent({ data: { tripId, status, offeredDriverId, driverId, replacedDriverId } }) {
      const isBound = ['offered', 'assigned', 'arrived', 'in_progress'].includes(status);
      if (isBound) return;
      for (const id of [offeredDriverId, driverId, replacedDriverId ?? null])
        if (id !== null && fake.holds.get(id) === tripId) fake.holds.delete(id);
    },
    add(position) {
      const id = ids<DriverId>();
      const plate = `51F-${fleet.length}`;
      fleet.push({
        driverId: id,
        position,
        vehicle: { product: 'car', plate, model: 'Vios', colour: 'white' },
      });
      return { id, role: 'driver', name: `Driver ${plate}`, plate };
    },
    positionOf: (driverId) =>
      fleet.find((driver) => driver.driverId === driverId)?.position ?? { lat: 0, lng: 0 },
    pool: {
      async findCandidates(query) {
        await simulateCall();
        fake.queries.push(query);
        return fleet
          .map((driver) => ({ ...driver, distanceMetres: distanceMetres(driver.position, query.pickup) }))
          .filter(
            (driver) => driver.distanceMetres < reachMetres && driver.vehicle?.product === query.product,
          )
          .filter(({ driverId }) => !query.excluding.includes(driverId))
          .filter(({ driverId }) => !fake.enforcesHolds || !fake.holds.has(driverId))
          .toSorted((a, b) => a.distanceMetres - b.distanceMetres)
          .slice(0, query.limit)
          .map(({ vehicle: _, ...candidate }) => candidate);
      },
      async hold({ driverId, tripId, product }) {
        await simulateCall();
        fake.beforeHold(driverId);
        const vehicle = fleet.find((driver) => driver.driverId === driverId)?.vehicle ?? null;
        if (vehicle?.product !== product) return { held: false };
        if (!fake.enforcesHolds) return { held: true, vehicle };
        if (fake.holds.has(driverId)) return { held: false };
        fake.holds.set(driverId, tripId);
        return { held: true, vehicle };
      },
      async release({ driverId, tripId }) {
        await simulateCall();
        if (fake.holds.get(driverId) === tripId) fake.holds.delete(driverId);
      },
      async findLastPositionAtMs(tripId) {
        await simulateCall();
        return fake.lastPositionsAtMs.get(tripId) ?? null;
      },
    },
  };
  async function simulateCall(): Promise<void> {
    if (gatePromise !== undefined) {
      waiting++;
      await gatePromise;
      waiting--;
    }
    if (!fake.isReachable) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  }
  return fake;
}

export interface FakeQuotes {
  port: FareQuotes;
  add(riderId: RiderId, overrides?: Partial<Quote>): QuoteId;
  /** Removes a quote, as the payment context may do long after it expired. */
  remove(quoteId: QuoteId): void;
  /** The unpaid payment of each rider with a debt. */
  debts: Map<RiderId, PaymentId>;
  isReachable: boolean;
}

export function createFakeQuotes(clock: ManualClock, ids: Ids): FakeQuotes {
  const quotes = new Map<QuoteId, Quote>();
  const fake: FakeQuotes = {
    isReachable: true,
    debts: new Map(),
    port: {
      async find(quoteId, riderId) {
        if (!fake.isReachable)
          throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
        const quote = quotes.get(quoteId);
        if (quote?.riderId !== riderId) return undefined;
        return { quote, debtPaymentId: fake.debts.get(riderId) ?? null };
      },
    },
    add(riderId, overrides = {}) {
      const quote = { ...createSampleQuote(riderId, clock.nowMs(), ids), ...overrides };
      quotes.set(quote.id, quote);
      return quote.id;
    },
    remove: (quoteId) => void quotes.delete(quoteId),
  };
  return fake;
}

export interface FakePayments {
  port: PaymentAuthorisations;
  /** Answers reads of authorisation states. Replace it to change the answer. */
  respond: (tripId: TripId, withinMs: number) => Promise<AuthorisationState>;
}

export function createFakePayments(): FakePayments {
  const fake: FakePayments = {
    respond: async () => 'authorised',
    port: { waitForState: (tripId, withinMs) => fake.respond(tripId, withinMs) },
  };
  return fake;
}
