import { Page } from '@contracts/common.ts';
import { Driver, type PositionFix, type SetStatusBody, type Vehicle } from '@contracts/drivers.ts';
import type { PaymentId, PaymentMethodId, TripId } from '@contracts/ids.ts';
import { Earnings, Payment, PaymentMethod, Quote, type QuoteBody, Receipt } from '@contracts/payments.ts';
import { Ticket } from '@contracts/realtime.ts';
import { Trip, TripHistory } from '@contracts/trips.ts';
import { Type } from '@sinclair/typebox';
import { shape } from './http.ts';
import type { Caller } from './session.ts';

const shapes = {
  anything: shape(Type.Unknown()),
  driver: shape(Driver),
  earnings: shape(Earnings),
  history: shape(TripHistory),
  payment: shape(Payment),
  paymentMethod: shape(PaymentMethod),
  quote: shape(Quote),
  receipt: shape(Receipt),
  ticket: shape(Ticket),
  trip: shape(Trip),
  trips: shape(Page(Trip)),
};

/** The public surface as one person uses it, typed. Each call resolves to a Reply and never throws. */
export function createClient(caller: Caller, signal: AbortSignal) {
  const read = (path: string) => ({ method: 'GET', path, signal }) as const;
  const put = (path: string, body: object) => ({ method: 'PUT', path, body, signal }) as const;
  const post = (path: string, body?: object) =>
    ({ method: 'POST', path, signal, ...(body === undefined ? {} : { body }) }) as const;
  const trip = (id: TripId, step = '') => `/v1/trips/${id}${step}`;

  return {
    personId: caller.personId,
    silence: caller.silence,

    setVehicle: (vehicle: Vehicle) =>
      caller.send({ ...put('/v1/drivers/me/vehicle', vehicle), answer: shapes.driver }),
    setStatus: (status: SetStatusBody['status']) =>
      caller.send({ ...put('/v1/drivers/me/status', { status }), answer: shapes.driver }),
    /** Asked once: the next position makes a lost one worthless. */
    reportPosition: (fix: PositionFix, patienceMs = 0) =>
      caller.send({ ...put('/v1/drivers/me/location', fix), answer: shapes.anything, patienceMs }),
    earnings: () => caller.send({ ...read('/v1/drivers/me/earnings?limit=100'), answer: shapes.earnings }),

    addCard: (token: string, idempotencyKey: string) =>
      caller.send({
        ...post('/v1/payment-methods', { kind: 'card', token }),
        idempotencyKey,
        answer: shapes.paymentMethod,
      }),
    quote: (body: QuoteBody, idempotencyKey: string) =>
      caller.send({ ...post('/v1/quotes', body), idempotencyKey, answer: shapes.quote }),
    receipt: (id: TripId) => caller.send({ ...read(trip(id, '/receipt')), answer: shapes.receipt }),

    pay: (id: PaymentId, paymentMethodId: PaymentMethodId, idempotencyKey: string) =>
      caller.send({
        ...post(`/v1/payments/${id}/pay`, { paymentMethodId }),
        idempotencyKey,
        answer: shapes.payment,
      }),
    payment: (id: PaymentId) => caller.send({ ...read(`/v1/payments/${id}`), answer: shapes.payment }),

    createTrip: (quoteId: string, idempotencyKey: string) =>
      caller.send({ ...post('/v1/trips', { quoteId }), idempotencyKey, answer: shapes.trip }),
    trip: (id: TripId) => caller.send({ ...read(trip(id)), answer: shapes.trip }),
    trips: (limit: number) => caller.send({ ...read(`/v1/trips?limit=${limit}`), answer: shapes.trips }),
    history: (id: TripId) => caller.send({ ...read(trip(id, '/history')), answer: shapes.history }),
    accept: (id: TripId) => caller.send({ ...post(trip(id, '/accept')), answer: shapes.trip }),
    decline: (id: TripId, reason: string) =>
      caller.send({ ...post(trip(id, '/decline'), { reason }), answer: shapes.anything }),
    arrive: (id: TripId) => caller.send({ ...post(trip(id, '/arrive')), answer: shapes.trip }),
    start: (id: TripId, code: string) =>
      caller.send({ ...post(trip(id, '/start'), { code }), answer: shapes.trip }),
    complete: (id: TripId) => caller.send({ ...post(trip(id, '/complete')), answer: shapes.trip }),
    cancel: (id: TripId, reason: string) =>
      caller.send({ ...post(trip(id, '/cancel'), { reason }), answer: shapes.trip }),
    rate: (id: TripId, stars: number, idempotencyKey: string) =>
      caller.send({ ...post(trip(id, '/rating'), { stars }), idempotencyKey, answer: shapes.anything }),

    ticket: () => caller.send({ ...post('/v1/realtime/ticket'), answer: shapes.ticket }),
  };
}
export type Client = ReturnType<typeof createClient>;
