import { Nullable, Timestamp } from '@contracts/common.ts';
import { asDriverId, type PersonId, type TripId, TripIdSchema } from '@contracts/ids.ts';
import { PaymentStatus } from '@contracts/payments.ts';
import type { EventFrame } from '@contracts/realtime.ts';
import { type Trip, TripStatus } from '@contracts/trips.ts';
import { type Static, Type } from '@sinclair/typebox';
import { enrolPerson } from './authenticated-client.ts';
import { addBounded } from './bounded-set.ts';
import type { CityContext } from './city-context.ts';
import { type Client, createClient } from './client.ts';
import { type ApiReply, compileSchema } from './http.ts';
import { createLiveClient, type LiveClient } from './live-client.ts';
import { createMailbox, type Mailbox } from './mailbox.ts';
import type { ObservedTrip } from './observations.ts';

/** The fields that every trip event has; the rest is read on demand. */
const TripEventData = Type.Object({
  tripId: TripIdSchema,
  version: Type.Integer(),
  status: TripStatus,
  offerExpiresAt: Type.Optional(Nullable(Timestamp)),
});
const PaymentEventData = Type.Object({ tripId: TripIdSchema, status: PaymentStatus });

export type PersonEvent =
  | { kind: 'trip'; event: string; trip: Static<typeof TripEventData> }
  | { kind: 'payment'; event: string; payment: Static<typeof PaymentEventData> }
  /** Events were lost, so the state must be read. */
  | { kind: 'lost' };

const tripEventSchema = compileSchema(TripEventData);
const paymentEventSchema = compileSchema(PaymentEventData);

/** A simulated person with an account, a client and a live connection. */
export interface CityPerson {
  id: PersonId;
  name: string;
  client: Client;
  live: LiveClient;
  events: Mailbox<PersonEvent>;
  /** Reads a trip and records what was seen. */
  readTrip(tripId: TripId): Promise<ApiReply<Trip>>;
  /** Records the trip in the response to a command. */
  recordTrip(trip: Trip): void;
}

export async function createCityPerson(
  context: CityContext,
  role: 'rider' | 'driver',
  index: number,
): Promise<ApiReply<CityPerson>> {
  const { transport, clock, signal, runTag } = context;
  const name = `City ${role} ${index}`;
  const enrolment = {
    email: `${role}-${index}-${runTag}@city.example`,
    password: `city-${runTag}-${index}`,
    name,
    role,
  };
  const enrolled = await enrolPerson(transport, clock, enrolment, signal);
  if (!enrolled.ok) return enrolled;
  const client = createClient(enrolled.value, signal);
  const events = createMailbox<PersonEvent>(clock);
  const live = createPersonLiveClient(context, client, events);
  return {
    ok: true,
    value: { id: client.personId, name, client, live, events, ...createTripReader(context, client) },
  };
}

/** Only the assigned driver is shown the rider, which tells drivers that the trip is theirs. */
export const observedTripOf = ({ id, version, status, rider }: Trip, viewerId: PersonId): ObservedTrip => ({
  tripId: id,
  version,
  status,
  driverId: rider ? asDriverId(viewerId) : null,
});

function createTripReader(context: CityContext, client: Client): Pick<CityPerson, 'readTrip' | 'recordTrip'> {
  const { observations } = context;
  return {
    recordTrip: (trip) => observations.recordTrip(client.personId, observedTripOf(trip, client.personId)),
    async readTrip(tripId) {
      const versionMin = observations.knownVersion(client.personId, tripId);
      const reply = await client.trip(tripId);
      if (reply.ok)
        observations.recordTrip(client.personId, observedTripOf(reply.value, client.personId), versionMin);
      return reply;
    },
  };
}

function createPersonLiveClient(
  context: CityContext,
  client: Client,
  events: Mailbox<PersonEvent>,
): LiveClient {
  const { observations } = context;
  const recent = new Set<string>();

  function onEvent(frame: EventFrame) {
    if (recent.has(frame.id))
      observations.addViolation(
        'event_twice',
        null,
        `${frame.event} ${frame.id} was delivered again as seq ${frame.seq}`,
      );
    addBounded(recent, frame.id, 500);
    const item = parseEvent(frame);
    if (item?.kind === 'trip') {
      const { tripId, version, status } = item.trip;
      observations.recordTrip(client.personId, { tripId, version, status, driverId: null });
    }
    if (item !== undefined) events.put(item);
  }

  return createLiveClient({
    socketUrl: context.socketUrl,
    ticket: client.ticket,
    clock: context.clock,
    random: context.jitter,
    tally: context.tally,
    signal: context.signal,
    onEvent,
    onLost: () => events.put({ kind: 'lost' }),
    onGap: (detail) => observations.addViolation('seq_gap', null, `person ${client.personId}: ${detail}`),
  });
}

/** Returns undefined for events that the city does not use. */
function parseEvent({ event, data }: EventFrame): PersonEvent | undefined {
  if (event.startsWith('trip.') && tripEventSchema.Check(data)) return { kind: 'trip', event, trip: data };
  if (event.startsWith('payment.') && paymentEventSchema.Check(data))
    return { kind: 'payment', event, payment: data };
  return undefined;
}
