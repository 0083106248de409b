import { describe, expect, test } from 'bun:test';
import type { DriverId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Trip, TripBase } from '../trip.ts';
import { activeTripOf, type TripRow, tripOf, tripRowOf } from './rows.ts';

const base: TripBase = {
  id: 'trip' as TripId,
  version: 3,
  riderId: 'rider' as RiderId,
  riderProfile: { firstName: 'An', rating: 4.5 },
  offeredDriverIds: ['driver' as DriverId],
  startCode: '0042',
  wrongStartCodes: 0,
  startBlockedUntilMs: 0,
  searchUntilMs: 120_000,
  createdAtMs: 1,
  updatedAtMs: 2,
  fare: {
    quoteId: 'quote' as QuoteId,
    paymentMethodId: 'card' as PaymentMethodId,
    product: 'bike',
    pickup: { lat: 1, lng: 2 },
    dropoff: { lat: 3, lng: 4 },
    distanceMetres: 5,
    durationSeconds: 6,
    total: { amountMinor: 7, currency: 'VND' },
    lines: [],
  },
};
const vehicle = { product: 'bike', plate: '51F-1', model: 'Wave', colour: 'red' } as const;
const driver = { id: 'driver' as DriverId, vehicle, profile: { name: 'Bình', rating: null } };
const end = { by: 'rider', reason: 'changed my mind' } as const;
const offer = { driver: { id: driver.id, vehicle }, expiresAtMs: 15_000 };

const trips: [string, Trip][] = [
  ['requested', { ...base, status: 'requested', timerAtMs: 9 }],
  ['offered', { ...base, status: 'offered', timerAtMs: 9, offer }],
  ['assigned', { ...base, status: 'assigned', timerAtMs: 9, driver }],
  ['arrived', { ...base, status: 'arrived', timerAtMs: 9, driver }],
  ['in progress', { ...base, status: 'in_progress', timerAtMs: 9, driver }],
  ['completed', { ...base, status: 'completed', driver, end, ratings: { byRider: 5, byDriver: null } }],
  ['cancelled with a driver', { ...base, status: 'cancelled', driver, end }],
  ['cancelled without a driver', { ...base, status: 'cancelled', driver: null, end }],
  ['unfulfilled', { ...base, status: 'unfulfilled', end }],
];

describe('a trip that is', () => {
  test.each(trips)('%s comes back from its row unchanged', (_, trip) => {
    expect(tripOf(tripRowOf(trip))).toEqual(trip);
  });
});

describe('parsing a row throws', () => {
  const missing: [Trip['status'], keyof TripRow][] = [
    ['requested', 'timer_at_ms'],
    ['offered', 'offer_expires_at_ms'],
    ['offered', 'offered_driver_id'],
    ['assigned', 'driver_id'],
    ['in_progress', 'vehicle'],
    ['completed', 'ended_by'],
    ['cancelled', 'ended_by'],
  ];
  test.each(missing)('for status %s without %s', (status, column) => {
    const trip = trips.map(([, sample]) => sample).find((sample) => sample.status === status) as Trip;
    expect(() => tripOf({ ...tripRowOf(trip), [column]: null })).toThrow(`is ${status} without ${column}`);
  });

  test('for an ended trip where an active one is expected', () => {
    const row = tripRowOf({ ...base, status: 'unfulfilled', end });
    expect(() => activeTripOf({ ...row, timer_at_ms: 1 })).toThrow('is unfulfilled and has a timer');
  });
});
