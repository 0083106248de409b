import { formatTimestamp } from '@contracts/common.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import type { ServerWebSocket } from 'bun';

/**
 * A server for tests that plays the public surface by the book, in memory: matches at once, captures
 * at once, keeps inboxes. `spoil` lets a test break one promise; `answer` lets it refuse requests.
 */
export interface FakeEdge {
  url: string;
  requests: Map<string, number>;
  openSocketCount(): number;
  onlineDriverCount(): number;
  closeSockets(code: number): void;
  stop(): Promise<void>;
}

export interface FakeEdgeOptions {
  /** A response instead of the right one. */
  overrideResponse?: (route: string, nth: number) => Response | undefined;
  /** Changes a right answer of `route` before it is sent. */
  corruptResponse?: (route: string, body: Json, nth: number) => Json;
  /** Leaves an event out of what is pushed and kept; its seq is used up all the same. */
  shouldDropEvent?: (event: string, nth: number) => boolean;
  /** Trips and payments are shown to anybody. */
  isEverythingVisible?: boolean;
  clock?: Clock;
  offerMs?: number;
}

export type Json = Record<string, unknown>;
type Peer = ServerWebSocket<{ personId: string }>;

interface FakePerson {
  id: string;
  role: string;
  online: boolean;
  vehicle: Json | null;
  tripId: string | null;
  card: string;
  earned: string[];
  inbox: { seq: number; text: string | undefined }[];
  peer: Peer | undefined;
}
interface FakeTrip extends Json {
  id: string;
  status: string;
  version: number;
  riderId: string;
  driverId: string | null;
}

const firstSeq = 1_000_000;
const fakeFare = { amountMinor: 25_000, currency: 'VND' };
const newId = () => Bun.randomUUIDv7();
const route = (method: string, path: string) =>
  `${method} ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ':id')}`;

export function createFakeEdge(options: FakeEdgeOptions = {}): FakeEdge {
  const { clock = systemClock, offerMs = 15_000 } = options;
  const stopped = new AbortController();
  const later = (ms: number) => formatTimestamp(clock.nowMs() + ms);
  const at = () => later(0);
  const people = new Map<string, FakePerson>();
  const trips = new Map<string, FakeTrip>();
  const offers = new Map<string, string>();
  const histories = new Map<string, Json[]>();
  const quotes = new Map<string, Json>();
  const keys = new Map<string, { body: string; answer: Json }>();
  const requests = new Map<string, number>();
  const events = new Map<string, number>();
  const sockets = new Set<Peer>();

  function tell(personId: string | null, event: string, data: Json) {
    const person = people.get(personId ?? '');
    if (person === undefined) return;
    const nth = (events.get(event) ?? 0) + 1;
    events.set(event, nth);
    const seq = firstSeq + person.inbox.length + 1;
    const frame = JSON.stringify({ type: 'event', seq, id: newId(), event, data });
    const text = options.shouldDropEvent?.(event, nth) ? undefined : frame;
    person.inbox.push({ seq, text });
    if (text !== undefined) person.peer?.send(text);
  }

  function move(trip: FakeTrip, to: string, actor: string, reason: string | null = null) {
    const items = histories.get(trip.id) ?? [];
    const from = trip.version === 0 ? null : trip.status;
    Object.assign(trip, { status: to, version: trip.version + 1, updatedAt: at(), reason });
    if (to === 'cancelled' || to === 'unfulfilled') trip.endedBy = actor;
    items.push({ version: trip.version, from, to, actor, actorId: null, reason, at: at() });
    histories.set(trip.id, items);
    const driver = people.get(trip.driverId ?? '');
    const isOver = ['completed', 'cancelled'].includes(to);
    if (driver !== undefined) driver.tripId = isOver ? null : trip.id;
    const name = to === 'in_progress' ? 'started' : to;
    const { id: tripId, status, version, driverId } = trip;
    if (to === 'completed') driver?.earned.push(trip.id);
    if (to !== 'requested' && to !== 'offered')
      for (const personId of [trip.riderId, driverId])
        tell(personId, `trip.${name}`, { tripId, status, version, driverId });
    const paid = paymentOf(trip);
    if (to === 'completed') tell(trip.riderId, `payment.${paid}`, { tripId, status: paid });
  }

  const paymentOf = ({ riderId }: FakeTrip) =>
    people.get(riderId)?.card === 'tok_no_funds' ? 'failed' : 'captured';

  function dispatch(trip: FakeTrip, passing: string | undefined) {
    const fits = (one: FakePerson) => one.online && one.tripId === null && one.id !== passing;
    if (people.get(trip.riderId)?.card === 'tok_declined')
      return move(trip, 'cancelled', 'system', 'payment_declined');
    const driver = [...people.values()].find((one) => fits(one) && one.vehicle?.product === trip.product);
    if (driver === undefined) return move(trip, 'unfulfilled', 'system', 'no_drivers');
    driver.tripId = trip.id;
    offers.set(trip.id, driver.id);
    move(trip, 'offered', 'system');
    const { id: tripId, status, version } = trip;
    tell(driver.id, 'trip.offered', { tripId, status, version, offerExpiresAt: later(offerMs) });
    void clock.sleep(offerMs, stopped.signal).then(() => lapse(trip, version, driver));
  }

  function lapse(trip: FakeTrip, version: number, driver: FakePerson) {
    if (stopped.signal.aborted || trip.version !== version) return;
    driver.tripId = null;
    move(trip, 'requested', 'system', 'offer_lapsed');
    dispatch(trip, driver.id);
  }

  function createTrip(rider: FakePerson, body: Json, key: string): Json | Response {
    const text = JSON.stringify(body);
    const earlier = keys.get(key);
    if (earlier !== undefined)
      return earlier.body === text ? earlier.answer : problemAnswer(422, 'idempotency.key_reused');
    const quote = quotes.get(String(body.quoteId));
    if (quote === undefined) return problemAnswer(404, 'quote.not_found');
    const { id: quoteId, lines: _lines, paymentMethodId: _method, expiresAt: _expiresAt, ...asked } = quote;
    const trip: FakeTrip = {
      ...asked,
      ...{ id: newId(), status: 'requested', version: 0, riderId: rider.id, driverId: null, quoteId },
      ...{ vehicle: null, startCode: '4711', offer: null, endedBy: null, reason: null },
      ...{ ratings: { byRider: null, byDriver: null }, createdAt: at(), updatedAt: at() },
    };
    trips.set(trip.id, trip);
    move(trip, 'requested', 'rider');
    const answer = { ...trip };
    keys.set(key, { body: text, answer });
    dispatch(trip, undefined);
    return answer;
  }

  function stepTrip(trip: FakeTrip, person: FakePerson, step: string, body: Json): Json | Response {
    const wanted: Record<string, [string[], string]> = {
      arrive: [['assigned'], 'arrived'],
      start: [['arrived'], 'in_progress'],
      complete: [['in_progress'], 'completed'],
      cancel: [['requested', 'offered', 'assigned', 'arrived'], 'cancelled'],
    };
    if (step === 'rating') return { ...trip };
    if (step === 'accept' || step === 'decline') {
      if (trip.status !== 'offered' || offers.get(trip.id) !== person.id)
        return problemAnswer(409, 'trip.offer_expired');
      if (step === 'accept') {
        trip.driverId = person.id;
        move(trip, 'assigned', 'driver');
      } else {
        person.tripId = null;
        move(trip, 'requested', 'driver');
        dispatch(trip, person.id);
      }
      return { ...trip };
    }
    const [from, to] = wanted[step] ?? [[], ''];
    if (!from.includes(trip.status)) return problemAnswer(409, 'trip.wrong_state');
    if (step === 'start' && body.code !== trip.startCode) return problemAnswer(409, 'trip.start_code_wrong');
    if (step === 'cancel') for (const one of people.values()) if (one.tripId === trip.id) one.tripId = null;
    move(trip, to, person.role, step === 'cancel' ? String(body.reason) : null);
    return { ...trip };
  }

  function tripRoute(person: FakePerson, id: string, rest: string | undefined, body: Json): Json | Response {
    const trip = trips.get(id);
    const isTheirs =
      options.isEverythingVisible || trip?.riderId === person.id || trip?.driverId === person.id;
    const wasAsked = offers.get(id) === person.id;
    if (trip === undefined || !(isTheirs || wasAsked)) return problemAnswer(404, 'trip.not_found');
    if (rest === undefined) return { ...trip };
    if (rest === 'history') return { items: histories.get(id) ?? [] };
    if (rest === 'pay') return tripRoute(person, id, 'payment', body);
    if (rest !== 'receipt' && rest !== 'payment') return stepTrip(trip, person, rest, body);
    const status = paymentOf(trip);
    const { fare, driverId, riderId } = trip;
    if (rest === 'payment')
      return {
        ...{ id, tripId: id, riderId, driverId, status, amount: fare, failureReason: null },
        ...{ refunded: { amountMinor: 0, currency: 'VND' }, createdAt: at(), updatedAt: at() },
      };
    return {
      ...{ tripId: id, paymentId: id, status, product: trip.product, distanceMetres: 1000 },
      ...{ durationSeconds: 600, lines: [{ kind: 'base', amountMinor: 25_000 }], total: fare },
      ...{ refunded: { amountMinor: 0, currency: 'VND' }, completedAt: at(), capturedAt: at() },
    };
  }

  function personRoute(person: FakePerson, request: Request, path: string, body: Json): Json | Response {
    const [, , first, second, third] = path.split('/');
    if (first === 'drivers') {
      if (third?.startsWith('earnings'))
        return {
          balances: [],
          items: person.earned.map((tripId) => ({ tripId, kind: 'fare', amount: fakeFare, at: at() })),
          nextCursor: null,
        };
      if (third === 'vehicle') person.vehicle = body;
      if (third === 'status') person.online = body.status === 'available';
      if (third === 'location') return person.online ? {} : problemAnswer(409, 'driver.offline');
      const status = person.online ? 'available' : 'offline';
      return { id: person.id, status, vehicle: person.vehicle, tripId: person.tripId, updatedAt: at() };
    }
    if (first === 'payment-methods') person.card = String(body.token);
    if (first === 'payment-methods') return { id: newId(), kind: 'card', label: 'Visa', createdAt: at() };
    if (first === 'quotes') {
      const quote = {
        ...{ currency: undefined, ...body, id: newId(), riderId: person.id, paymentMethodId: newId() },
        ...{ distanceMetres: 1000, durationSeconds: 600, fare: fakeFare },
        ...{ lines: [{ kind: 'base', amountMinor: 25_000 }], createdAt: at(), expiresAt: later(60_000) },
      };
      quotes.set(quote.id, quote);
      return quote;
    }
    if (first === 'realtime') return { ticket: person.id, expiresAt: later(30_000) };
    if (first === 'payments') return tripRoute(person, second ?? '', third ?? 'payment', body);
    if (second !== undefined) return tripRoute(person, second, third, body);
    if (request.method === 'POST')
      return createTrip(person, body, request.headers.get('idempotency-key') ?? newId());
    const mine = [...trips.values()].filter((one) => one.riderId === person.id || one.driverId === person.id);
    return { items: mine.reverse().slice(0, 100), nextCursor: null };
  }

  function register(body: Json): Json {
    const id = newId();
    const { email, name, role } = body;
    const fresh = {
      online: false,
      vehicle: null,
      tripId: null,
      card: '',
      earned: [],
      inbox: [],
      peer: undefined,
    };
    people.set(id, { id, role: String(role), ...fresh });
    const tokens = { accessToken: id, refreshToken: 'r'.repeat(32) };
    const ends = { accessExpiresAt: later(600_000), refreshExpiresAt: later(6_000_000) };
    return {
      person: { id, email, name, phone: null, role, createdAt: at() },
      tokens: { ...tokens, ...ends },
    };
  }

  async function answer(request: Request, path: string): Promise<Response> {
    const name = route(request.method, path);
    const nth = (requests.get(name) ?? 0) + 1;
    requests.set(name, nth);
    const refused = options.overrideResponse?.(name, nth);
    if (refused !== undefined) return refused;
    if (path === '/readyz') return Response.json({ status: 'ready' });
    const body = (await request.json().catch(() => ({}))) as Json;
    const person = people.get((request.headers.get('authorization') ?? '').slice('Bearer '.length));
    if (path === '/v1/auth/register') return Response.json(register(body), { status: 201 });
    if (person === undefined) return problemAnswer(401, 'auth.token_invalid');
    const right = personRoute(person, request, path, body);
    return right instanceof Response
      ? right
      : Response.json(options.corruptResponse?.(name, right, nth) ?? right);
  }

  const server = Bun.serve<{ personId: string }, never>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, self) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname !== '/v1/realtime') return answer(request, pathname);
      const personId = searchParams.get('ticket') ?? '';
      return self.upgrade(request, { data: { personId } })
        ? undefined
        : problemAnswer(400, 'request.invalid');
    },
    websocket: {
      open(socket) {
        sockets.add(socket);
        const person = people.get(socket.data.personId);
        if (person === undefined) return socket.close(4401);
        person.peer = socket;
        socket.send(JSON.stringify({ type: 'welcome', lastSeq: firstSeq + person.inbox.length }));
      },
      message(socket, data) {
        const frame = JSON.parse(String(data)) as { type: string; after?: number };
        const person = people.get(socket.data.personId);
        if (frame.type !== 'resume' || person === undefined) return;
        for (const { seq, text } of person.inbox)
          if (seq > (frame.after ?? 0) && text !== undefined) socket.send(text);
        const lastSeq = firstSeq + person.inbox.length;
        socket.send(JSON.stringify({ type: 'resumed', recovered: true, lastSeq }));
      },
      close(socket) {
        sockets.delete(socket);
        const person = people.get(socket.data.personId);
        if (person?.peer === socket) person.peer = undefined;
      },
    },
  });

  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    openSocketCount: () => sockets.size,
    onlineDriverCount: () => [...people.values()].filter((one) => one.online).length,
    closeSockets: (code) => {
      for (const socket of sockets) socket.close(code);
    },
    stop: () => {
      stopped.abort();
      return server.stop(true);
    },
  };
}

export const problemAnswer = (status: number, code: string, headers: Record<string, string> = {}): Response =>
  Response.json(
    { type: `urn:uit-go:problem:${code}`, title: code, status, code },
    { status, headers: { 'content-type': 'application/problem+json', ...headers } },
  );
