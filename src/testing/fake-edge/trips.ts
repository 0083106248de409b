import { type FakePerson, type FakeTrip, type FakeWorld, type Json, newId, problemAnswer } from './world.ts';

const steps: Record<string, [from: string[], to: string]> = {
  arrive: [['assigned'], 'arrived'],
  start: [['arrived'], 'in_progress'],
  complete: [['in_progress'], 'completed'],
  cancel: [['requested', 'offered', 'assigned', 'arrived'], 'cancelled'],
};

/** The trips of a fake edge: offers each to the first suitable driver, and captures its payment at once. */
export function createFakeTrips(world: FakeWorld, offerMs: number, stopped: AbortSignal) {
  const { people, trips, offers, histories, quotes, sendEvent, now } = world;
  const answersByKey = new Map<string, { body: string; answer: Json }>();
  return { create, applyStep };

  function create(rider: FakePerson, body: Json, key: string): Json | Response {
    const text = JSON.stringify(body);
    const earlier = answersByKey.get(key);
    if (earlier !== undefined)
      return earlier.body === text ? earlier.answer : problemAnswer(422, 'idempotency.key_reused');
    const quote = quotes.get(String(body.quoteId));
    if (quote === undefined) return problemAnswer(404, 'quote.not_found');
    const { id: quoteId, lines: _lines, paymentMethodId: _method, expiresAt: _expiresAt, ...quoted } = quote;
    const trip: FakeTrip = {
      ...quoted,
      ...{ id: newId(), status: 'requested', version: 0, riderId: rider.id, driverId: null, quoteId },
      ...{ vehicle: null, startCode: '4711', offer: null, endedBy: null, reason: null },
      ...{ ratings: { byRider: null, byDriver: null }, createdAt: now(), updatedAt: now() },
    };
    trips.set(trip.id, trip);
    transition(trip, 'requested', 'rider');
    const answer = { ...trip };
    answersByKey.set(key, { body: text, answer });
    dispatch(trip, undefined);
    return answer;
  }

  function applyStep(trip: FakeTrip, person: FakePerson, step: string, body: Json): Json | Response {
    if (step === 'rating') return { ...trip };
    if (step === 'accept' || step === 'decline') return answerOffer(trip, person, step === 'accept');
    const [from, to] = steps[step] ?? [[], ''];
    if (!from.includes(trip.status)) return problemAnswer(409, 'trip.wrong_state');
    if (step === 'start' && body.code !== trip.startCode) return problemAnswer(409, 'trip.start_code_wrong');
    if (step === 'cancel')
      for (const other of people.values()) if (other.tripId === trip.id) other.tripId = null;
    transition(trip, to, person.role, step === 'cancel' ? String(body.reason) : null);
    return { ...trip };
  }

  function answerOffer(trip: FakeTrip, driver: FakePerson, accepts: boolean): Json | Response {
    if (trip.status !== 'offered' || offers.get(trip.id) !== driver.id)
      return problemAnswer(409, 'trip.offer_expired');
    if (accepts) {
      trip.driverId = driver.id;
      transition(trip, 'assigned', 'driver');
    } else {
      driver.tripId = null;
      transition(trip, 'requested', 'driver');
      dispatch(trip, driver.id);
    }
    return { ...trip };
  }

  function transition(trip: FakeTrip, to: string, actor: string, reason: string | null = null): void {
    const items = histories.get(trip.id) ?? [];
    const from = trip.version === 0 ? null : trip.status;
    Object.assign(trip, { status: to, version: trip.version + 1, updatedAt: now(), reason });
    if (to === 'cancelled' || to === 'unfulfilled') trip.endedBy = actor;
    items.push({ version: trip.version, from, to, actor, actorId: null, reason, at: now() });
    histories.set(trip.id, items);
    const driver = people.get(trip.driverId ?? '');
    if (driver !== undefined) driver.tripId = to === 'completed' || to === 'cancelled' ? null : trip.id;
    if (to === 'completed') driver?.earned.push(trip.id);
    const { id: tripId, status, version, driverId } = trip;
    const event = `trip.${to === 'in_progress' ? 'started' : to}`;
    if (to !== 'requested' && to !== 'offered')
      for (const personId of [trip.riderId, driverId])
        sendEvent(personId, event, { tripId, status, version, driverId });
    const payment = world.paymentStatusOf(trip);
    if (to === 'completed') sendEvent(trip.riderId, `payment.${payment}`, { tripId, status: payment });
  }

  function dispatch(trip: FakeTrip, declinedBy: string | undefined): void {
    if (people.get(trip.riderId)?.card === 'tok_declined') {
      transition(trip, 'cancelled', 'system', 'payment_declined');
      return;
    }
    const driver = [...people.values()].find(
      ({ id, online, tripId, vehicle }) =>
        online && tripId === null && id !== declinedBy && vehicle?.product === trip.product,
    );
    if (driver === undefined) {
      transition(trip, 'unfulfilled', 'system', 'no_drivers');
      return;
    }
    driver.tripId = trip.id;
    offers.set(trip.id, driver.id);
    transition(trip, 'offered', 'system');
    const { id: tripId, status, version } = trip;
    sendEvent(driver.id, 'trip.offered', { tripId, status, version, offerExpiresAt: world.after(offerMs) });
    void world.clock.sleep(offerMs, stopped).then(() => expireOffer(trip, version, driver));
  }

  function expireOffer(trip: FakeTrip, version: number, driver: FakePerson): void {
    if (stopped.aborted || trip.version !== version) return;
    driver.tripId = null;
    transition(trip, 'requested', 'system', 'offer_lapsed');
    dispatch(trip, driver.id);
  }
}

export type FakeTrips = ReturnType<typeof createFakeTrips>;
