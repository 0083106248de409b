import { Page } from '@contracts/common.ts';
import { Driver, type PositionFix, type SetStatusBody, type Vehicle } from '@contracts/drivers.ts';
import type { PaymentId, PaymentMethodId, TripId } from '@contracts/ids.ts';
import { Earnings, Payment, PaymentMethod, Quote, type QuoteBody, Receipt } from '@contracts/payments.ts';
import { Ticket } from '@contracts/realtime.ts';
import { Trip, TripHistory } from '@contracts/trips.ts';
import { Type } from '@sinclair/typebox';
import type { AuthenticatedClient } from './authenticated-client.ts';
import { compileSchema } from './http.ts';

const schemas = {
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

/** A typed client of the public API for one person. Each call resolves to a reply and never throws. */
export function createClient(authenticated: AuthenticatedClient, signal: AbortSignal) {
  const read = (path: string) => ({ method: 'GET', path, signal }) as const;
  const put = (path: string, body: object) => ({ method: 'PUT', path, body, signal }) as const;
  const post = (path: string, body?: object) =>
    ({ method: 'POST', path, signal, ...(body === undefined ? {} : { body }) }) as const;
  const trip = (id: TripId, step = '') => `/v1/trips/${id}${step}`;

  return {
    personId: authenticated.personId,
    disconnect: authenticated.disconnect,

    setVehicle: (vehicle: Vehicle) =>
      authenticated.send({ ...put('/v1/drivers/me/vehicle', vehicle), responseSchema: schemas.driver }),
    setStatus: (status: SetStatusBody['status']) =>
      authenticated.send({ ...put('/v1/drivers/me/status', { status }), responseSchema: schemas.driver }),
    /** Sent once by default: the next position makes a lost one worthless. */
    reportPosition: (fix: PositionFix, retryForMs = 0) =>
      authenticated.send({
        ...put('/v1/drivers/me/location', fix),
        responseSchema: schemas.anything,
        retryForMs,
      }),
    earnings: () =>
      authenticated.send({ ...read('/v1/drivers/me/earnings?limit=100'), responseSchema: schemas.earnings }),

    addCard: (token: string, idempotencyKey: string) =>
      authenticated.send({
        ...post('/v1/payment-methods', { kind: 'card', token }),
        idempotencyKey,
        responseSchema: schemas.paymentMethod,
      }),
    quote: (body: QuoteBody, idempotencyKey: string) =>
      authenticated.send({ ...post('/v1/quotes', body), idempotencyKey, responseSchema: schemas.quote }),
    receipt: (id: TripId) =>
      authenticated.send({ ...read(trip(id, '/receipt')), responseSchema: schemas.receipt }),

    pay: (id: PaymentId, paymentMethodId: PaymentMethodId, idempotencyKey: string) =>
      authenticated.send({
        ...post(`/v1/payments/${id}/pay`, { paymentMethodId }),
        idempotencyKey,
        responseSchema: schemas.payment,
      }),
    payment: (id: PaymentId) =>
      authenticated.send({ ...read(`/v1/payments/${id}`), responseSchema: schemas.payment }),

    createTrip: (quoteId: string, idempotencyKey: string) =>
      authenticated.send({ ...post('/v1/trips', { quoteId }), idempotencyKey, responseSchema: schemas.trip }),
    trip: (id: TripId) => authenticated.send({ ...read(trip(id)), responseSchema: schemas.trip }),
    trips: (limit: number) =>
      authenticated.send({ ...read(`/v1/trips?limit=${limit}`), responseSchema: schemas.trips }),
    history: (id: TripId) =>
      authenticated.send({ ...read(trip(id, '/history')), responseSchema: schemas.history }),
    accept: (id: TripId) =>
      authenticated.send({ ...post(trip(id, '/accept')), responseSchema: schemas.trip }),
    decline: (id: TripId, reason: string) =>
      authenticated.send({ ...post(trip(id, '/decline'), { reason }), responseSchema: schemas.anything }),
    arrive: (id: TripId) =>
      authenticated.send({ ...post(trip(id, '/arrive')), responseSchema: schemas.trip }),
    start: (id: TripId, code: string) =>
      authenticated.send({ ...post(trip(id, '/start'), { code }), responseSchema: schemas.trip }),
    complete: (id: TripId) =>
      authenticated.send({ ...post(trip(id, '/complete')), responseSchema: schemas.trip }),
    cancel: (id: TripId, reason: string) =>
      authenticated.send({ ...post(trip(id, '/cancel'), { reason }), responseSchema: schemas.trip }),
    rate: (id: TripId, stars: number, idempotencyKey: string) =>
      authenticated.send({
        ...post(trip(id, '/rating'), { stars }),
        idempotencyKey,
        responseSchema: schemas.anything,
      }),

    ticket: () => authenticated.send({ ...post('/v1/realtime/ticket'), responseSchema: schemas.ticket }),
  };
}
export type Client = ReturnType<typeof createClient>;
