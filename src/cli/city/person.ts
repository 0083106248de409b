import { Nullable, Timestamp } from '@contracts/common.ts';
import { asDriver, type PersonId, type TripId, TripIdSchema } from '@contracts/ids.ts';
import { PaymentStatus } from '@contracts/payments.ts';
import type { EventFrame } from '@contracts/realtime.ts';
import { type Trip, TripStatus } from '@contracts/trips.ts';
import { type Static, Type } from '@sinclair/typebox';
import { type Client, createClient } from './client.ts';
import { type Reply, shape } from './http.ts';
import { createLive, type Live } from './live.ts';
import { createMailbox, type Mailbox } from './mailbox.ts';
import type { TripView } from './observations.ts';
import { remember } from './remember.ts';
import { enrol } from './session.ts';
import type { World } from './world.ts';

/** What every trip event tells at least; the rest is read when it is needed. */
const TripNews = Type.Object({
  tripId: TripIdSchema,
  version: Type.Integer(),
  status: TripStatus,
  offerExpiresAt: Type.Optional(Nullable(Timestamp)),
});
const PaymentNews = Type.Object({ tripId: TripIdSchema, status: PaymentStatus });

export type News =
  | { kind: 'trip'; event: string; trip: Static<typeof TripNews> }
  | { kind: 'payment'; event: string; payment: Static<typeof PaymentNews> }
  /** Events were lost: ask for the state of things. */
  | { kind: 'lost' };

const tripNewsShape = shape(TripNews);
const paymentNewsShape = shape(PaymentNews);

/** Somebody with an account, a phone and a live connection. */
export interface Person {
  id: PersonId;
  name: string;
  client: Client;
  live: Live;
  news: Mailbox<News>;
  /** Reads a trip and remembers what was seen. */
  readTrip(tripId: TripId): Promise<Reply<Trip>>;
  /** Remembers what an answer to a command showed. */
  saw(trip: Trip): void;
}

export async function createPerson(
  world: World,
  role: 'rider' | 'driver',
  index: number,
): Promise<Reply<Person>> {
  const { http, clock, signal, runTag } = world;
  const name = `City ${role} ${index}`;
  const enrolment = {
    email: `${role}-${index}-${runTag}@city.example`,
    password: `city-${runTag}-${index}`,
    name,
    role,
  };
  const enrolled = await enrol(http, clock, enrolment, signal);
  if (!enrolled.ok) return enrolled;
  const client = createClient(enrolled.value, signal);
  const news = createMailbox<News>(clock);
  const live = connectLive(world, client, news);
  return { ok: true, value: { id: client.personId, name, client, live, news, ...reading(world, client) } };
}

/** Only the driver of a trip is shown its rider: by that a driver knows that the trip is theirs. */
export const viewOf = ({ id, version, status, rider }: Trip, viewerId: PersonId): TripView => ({
  tripId: id,
  version,
  status,
  driverId: rider ? asDriver(viewerId) : null,
});

function reading(world: World, client: Client): Pick<Person, 'readTrip' | 'saw'> {
  const { observations } = world;
  return {
    saw: (trip) => observations.saw(client.personId, viewOf(trip, client.personId)),
    async readTrip(tripId) {
      const floor = observations.known(client.personId, tripId);
      const reply = await client.trip(tripId);
      if (reply.ok) observations.saw(client.personId, viewOf(reply.value, client.personId), floor);
      return reply;
    },
  };
}

function connectLive(world: World, client: Client, news: Mailbox<News>): Live {
  const { observations } = world;
  const recent = new Set<string>();

  function onEvent(frame: EventFrame) {
    if (recent.has(frame.id))
      observations.violate('event_twice', null, `${frame.event} ${frame.id} came again as seq ${frame.seq}`);
    remember(recent, frame.id, 500);
    const item = read(frame);
    if (item?.kind === 'trip') {
      const { tripId, version, status } = item.trip;
      observations.saw(client.personId, { tripId, version, status, driverId: null });
    }
    if (item !== undefined) news.put(item);
  }

  return createLive({
    socketUrl: world.socketUrl,
    ticket: client.ticket,
    clock: world.clock,
    random: world.jitter,
    tally: world.tally,
    signal: world.signal,
    onEvent,
    onLost: () => news.put({ kind: 'lost' }),
    onGap: (detail) => observations.violate('seq_gap', null, `person ${client.personId}: ${detail}`),
  });
}

/** Events of kinds that the city does not know are left alone. */
function read({ event, data }: EventFrame): News | undefined {
  if (event.startsWith('trip.') && tripNewsShape.Check(data)) return { kind: 'trip', event, trip: data };
  if (event.startsWith('payment.') && paymentNewsShape.Check(data))
    return { kind: 'payment', event, payment: data };
  return undefined;
}
