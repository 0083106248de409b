import { Page } from '@contracts/common.ts';
import { Driver, type PositionFix, type SetStatusBody, type Vehicle } from '@contracts/drivers.ts';
import type { PaymentId, PaymentMethodId, TripId } from '@contracts/ids.ts';
import { Earnings, Payment, PaymentMethod, Quote, type QuoteBody, Receipt } from '@contracts/payments.ts';
import { Ticket } from '@contracts/realtime.ts';
import { Trip, TripHistory } from '@contracts/trips.ts';
import { Type } from '@sinclair/typebox';
import type { AuthenticatedClient } from './authenticated-client.ts';
import { compileSchema } from './http.ts';

const shapes = {
  anything: compileSchema(Type.Unknown()),
  driver: compileSchema(Driver),
  earnings: compileSchema(Earnings),
  history: compileSchema(TripHistory),
  payment: compileSchema(Payment),
  paymentMethod: compileSchema(PaymentMethod),
  quote: compileSchema(Quote),
  receipt: compileSchema(Receipt),
  ticket: compileSchema(Ticket),
  trip: compileSchema(Trip),
  trips: compileSchema(Page(Trip)),
};

/** The public surface as one person uses it, typed. Each call resolves to a Reply and never throws. */
export function createClient(caller: AuthenticatedClient, signal: AbortSignal) {
  const read = (path: string) => ({ method: 'GET', path, signal }) as const;
  const put = (path: string, body: object) => ({ method: 'PUT', path, body, signal }) as const;
  const post = (path: string, body?: object) =>
    ({ method: 'POST', path, signal, ...(body === undefined ? {} : { body }) }) as const;
  const trip = (id: TripId, step = '') => `/v1/trips/${id}${step}`;

  return {
    personId: caller.personId,
    silence: caller.disconnect,

    setVehicle: (vehicle: Vehicle) =>
      caller.send({ ...put('/v1/drivers/me/vehicle', vehicle), responseSchema: shapes.driver }),
    setStatus: (status: SetStatusBody['status']) =>
      caller.send({ ...put('/v1/drivers/me/status', { status }), responseSchema: shapes.driver }),
    /** Asked once: the next position makes a lost one worthless. */
    reportPosition: (fix: PositionFix, retryForMs = 0) =>
      caller.send({ ...put('/v1/drivers/me/location', fix), responseSchema: shapes.anything, retryForMs }),
    earnings: () =>
      caller.send({ ...read('/v1/drivers/me/earnings?limit=100'), responseSchema: shapes.earnings }),

    addCard: (token: string, idempotencyKey: string) =>
      caller.send({
        ...post('/v1/payment-methods', { kind: 'card', token }),
        idempotencyKey,
        responseSchema: shapes.paymentMethod,
      }),
    quote: (body: QuoteBody, idempotencyKey: string) =>
      caller.send({ ...post('/v1/quotes', body), idempotencyKey, responseSchema: shapes.quote }),
    receipt: (id: TripId) => caller.send({ ...read(trip(id, '/receipt')), responseSchema: shapes.receipt }),

    pay: (id: PaymentId, paymentMethodId: PaymentMethodId, idempotencyKey: string) =>
      caller.send({
        ...post(`/v1/payments/${id}/pay`, { paymentMethodId }),
        idempotencyKey,
        responseSchema: shapes.payment,
      }),
    payment: (id: PaymentId) =>
      caller.send({ ...read(`/v1/payments/${id}`), responseSchema: shapes.payment }),

    createTrip: (quoteId: string, idempotencyKey: string) =>
      caller.send({ ...post('/v1/trips', { quoteId }), idempotencyKey, responseSchema: shapes.trip }),
    trip: (id: TripId) => caller.send({ ...read(trip(id)), responseSchema: shapes.trip }),
    trips: (limit: number) =>
      caller.send({ ...read(`/v1/trips?limit=${limit}`), responseSchema: shapes.trips }),
    history: (id: TripId) => caller.send({ ...read(trip(id, '/history')), responseSchema: shapes.history }),
    accept: (id: TripId) => caller.send({ ...post(trip(id, '/accept')), responseSchema: shapes.trip }),
    decline: (id: TripId, reason: string) =>
      caller.send({ ...post(trip(id, '/decline'), { reason }), responseSchema: shapes.anything }),
    arrive: (id: TripId) => caller.send({ ...post(trip(id, '/arrive')), responseSchema: shapes.trip }),
    start: (id: TripId, code: string) =>
      caller.send({ ...post(trip(id, '/start'), { code }), responseSchema: shapes.trip }),
    complete: (id: TripId) => caller.send({ ...post(trip(id, '/complete')), responseSchema: shapes.trip }),
    cancel: (id: TripId, reason: string) =>
      caller.send({ ...post(trip(id, '/cancel'), { reason }), responseSchema: shapes.trip }),
    rate: (id: TripId, stars: number, idempotencyKey: string) =>
      caller.send({
        ...post(trip(id, '/rating'), { stars }),
        idempotencyKey,
        responseSchema: shapes.anything,
      }),

    ticket: () => caller.send({ ...post('/v1/realtime/ticket'), responseSchema: shapes.ticket }),
  };
}
export type Client = ReturnType<typeof createClient>;
