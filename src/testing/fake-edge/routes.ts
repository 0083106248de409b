import type { FakeTrips } from './trips.ts';
import { type FakePerson, type FakeWorld, type Json, newId, problemAnswer } from './world.ts';

const fare = { amountMinor: 25_000, currency: 'VND' };
const nothingRefunded = { amountMinor: 0, currency: 'VND' };

/** The public routes of a fake edge. */
export function createFakeRoutes(world: FakeWorld, fakeTrips: FakeTrips, isEverythingVisible: boolean) {
  const { people, trips, offers, histories, quotes, after, now } = world;
  return { register, answerPerson };

  function register(body: Json): Json {
    const id = newId();
    const { email, name, role } = body;
    const state = { online: false, vehicle: null, tripId: null, card: '' };
    people.set(id, { id, role: String(role), ...state, earned: [], inbox: [], socket: undefined });
    const tokens = { accessToken: id, refreshToken: 'r'.repeat(32) };
    const expiry = { accessExpiresAt: after(600_000), refreshExpiresAt: after(6_000_000) };
    return {
      person: { id, email, name, phone: null, role, createdAt: now() },
      tokens: { ...tokens, ...expiry },
    };
  }

  function answerPerson(person: FakePerson, request: Request, path: string, body: Json): Json | Response {
    const [, , collection, id, action] = path.split('/');
    if (collection === 'drivers') return answerDriver(person, action, body);
    if (collection === 'payment-methods') {
      person.card = String(body.token);
      return { id: newId(), kind: 'card', label: 'Visa', createdAt: now() };
    }
    if (collection === 'quotes') return createQuote(person, body);
    if (collection === 'realtime') return { ticket: person.id, expiresAt: after(30_000) };
    if (collection === 'payments') return answerTrip(person, id ?? '', action ?? 'payment', body);
    if (id !== undefined) return answerTrip(person, id, action, body);
    if (request.method === 'POST')
      return fakeTrips.create(person, body, request.headers.get('idempotency-key') ?? newId());
    const own = [...trips.values()].filter(
      (trip) => trip.riderId === person.id || trip.driverId === person.id,
    );
    return { items: own.reverse().slice(0, 100), nextCursor: null };
  }

  function answerDriver(driver: FakePerson, action: string | undefined, body: Json): Json | Response {
    if (action?.startsWith('earnings')) {
      const items = driver.earned.map((tripId) => ({ tripId, kind: 'fare', amount: fare, at: now() }));
      return { balances: [], items, nextCursor: null };
    }
    if (action === 'vehicle') driver.vehicle = body;
    if (action === 'status') driver.online = body.status === 'available';
    if (action === 'location') return driver.online ? {} : problemAnswer(409, 'driver.offline');
    const status = driver.online ? 'available' : 'offline';
    return { id: driver.id, status, vehicle: driver.vehicle, tripId: driver.tripId, updatedAt: now() };
  }

  function createQuote(rider: FakePerson, body: Json): Json {
    const quote = {
      ...{ currency: undefined, ...body, id: newId(), riderId: rider.id, paymentMethodId: newId() },
      ...{ distanceMetres: 1000, durationSeconds: 600, fare },
      ...{ lines: [{ kind: 'base', amountMinor: 25_000 }], createdAt: now(), expiresAt: after(60_000) },
    };
    quotes.set(quote.id, quote);
    return quote;
  }

  function answerTrip(
    person: FakePerson,
    id: string,
    action: string | undefined,
    body: Json,
  ): Json | Response {
    const trip = trips.get(id);
    const isVisible =
      isEverythingVisible ||
      trip?.riderId === person.id ||
      trip?.driverId === person.id ||
      offers.get(id) === person.id;
    if (trip === undefined || !isVisible) return problemAnswer(404, 'trip.not_found');
    if (action === undefined) return { ...trip };
    if (action === 'history') return { items: histories.get(id) ?? [] };
    const status = world.paymentStatusOf(trip);
    if (action === 'payment' || action === 'pay')
      return {
        ...{ id, tripId: id, riderId: trip.riderId, driverId: trip.driverId, status, amount: trip.fare },
        ...{ failureReason: null, refunded: nothingRefunded, createdAt: now(), updatedAt: now() },
      };
    if (action === 'receipt')
      return {
        ...{ tripId: id, paymentId: id, status, product: trip.product, distanceMetres: 1000 },
        ...{ durationSeconds: 600, lines: [{ kind: 'base', amountMinor: 25_000 }], total: trip.fare },
        ...{ refunded: nothingRefunded, completedAt: now(), capturedAt: now() },
      };
    return fakeTrips.applyStep(trip, person, action, body);
  }
}
