import { describe, expect, test } from 'bun:test';
import type { TripEventType } from '@contracts/events.ts';
import { asDriver } from '@contracts/ids.ts';
import { newPerson, type People, paymentEvent, tripEvent } from '@testing/notification.ts';
import { notificationsOf, rideNewsOf } from './recipients.ts';

const rider = newPerson();
const driver = newPerson();
const asked = newPerson();

const hears = (type: TripEventType, people: Omit<People, 'rider'> = {}) =>
  notificationsOf(tripEvent(type, { rider, ...people })).map(({ personId, event }) => [
    nameOf(personId),
    event,
  ]);
const nameOf = (id: string) => ({ [rider]: 'rider', [driver]: 'driver', [asked]: 'asked' })[id];

describe('who hears of a trip', () => {
  test('nobody hears of their own request or decline', () => {
    expect(hears('trip.requested.v1')).toEqual([]);
    expect(hears('trip.offer_declined.v1', { asked })).toEqual([]);
  });

  test('only the driver who is asked hears of an offer and of its lapse', () => {
    expect(hears('trip.offered.v1', { asked })).toEqual([['asked', 'trip.offered']]);
    expect(hears('trip.offer_lapsed.v1', { asked })).toEqual([['asked', 'trip.offer_lapsed']]);
  });

  test('rider and driver hear of the assignment and of the end of the ride', () => {
    for (const type of ['trip.assigned.v1', 'trip.completed.v1'] as const) {
      const event = type.slice(0, -3);
      expect(hears(type, { driver })).toEqual([
        ['rider', event],
        ['driver', event],
      ]);
    }
  });

  test('the rider hears that the driver is there, and that the ride began', () => {
    expect(hears('trip.arrived.v1', { driver })).toEqual([['rider', 'trip.arrived']]);
    expect(hears('trip.started.v1', { driver })).toEqual([['rider', 'trip.started']]);
  });

  test('rider and replaced driver hear that the trip goes on without that driver', () => {
    const event = tripEvent('trip.driver_replaced.v1', { rider });
    event.data.replacedDriverId = asDriver(driver);
    expect(notificationsOf(event).map(({ personId }) => nameOf(personId))).toEqual(['rider', 'driver']);
    expect(rideNewsOf(event)).toMatchObject({ driverId: driver, riderId: undefined });
  });

  test('a cancelled trip ends the assignment of its driver', () => {
    expect(hears('trip.cancelled.v1', { driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });

  test('a trip that ends while a driver is being asked ends the offer', () => {
    expect(hears('trip.cancelled.v1', { asked })).toEqual([
      ['rider', 'trip.cancelled'],
      ['asked', 'trip.cancelled'],
    ]);
    expect(hears('trip.unfulfilled.v1', { asked })).toEqual([
      ['rider', 'trip.unfulfilled'],
      ['asked', 'trip.unfulfilled'],
    ]);
  });

  test('nobody hears of one event twice', () => {
    expect(hears('trip.cancelled.v1', { driver, asked: driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });
});

describe('who hears of a payment', () => {
  test('rider and driver hear that it was captured', () => {
    const told = notificationsOf(paymentEvent('payment.captured.v1', rider, driver));
    expect(told.map(({ personId, event }) => [nameOf(personId), event])).toEqual([
      ['rider', 'payment.captured'],
      ['driver', 'payment.captured'],
    ]);
  });

  test('only the rider hears that it failed or was refunded', () => {
    for (const type of ['payment.failed.v1', 'payment.refunded.v1'] as const) {
      const told = notificationsOf(paymentEvent(type, rider, driver));
      expect(told.map(({ personId }) => nameOf(personId))).toEqual(['rider']);
    }
  });
});

describe('what people see', () => {
  test('a driver sees neither who rides nor how they pay', () => {
    for (const notification of [
      ...notificationsOf(tripEvent('trip.offered.v1', { rider, asked })),
      ...notificationsOf(tripEvent('trip.completed.v1', { rider, driver })).slice(1),
      ...notificationsOf(paymentEvent('payment.captured.v1', rider, driver)).slice(1),
    ]) {
      expect(JSON.stringify(notification.data)).not.toContain(rider);
      for (const hidden of ['riderId', 'quoteId', 'paymentMethodId', 'failureReason'])
        expect(notification.data).not.toHaveProperty(hidden);
    }
  });

  test('a driver sees where to go, for how much, and until when the offer stands', () => {
    const event = tripEvent('trip.offered.v1', { rider, asked });
    const [offer] = notificationsOf(event);
    const { tripId, version, pickup, dropoff, fare, offerExpiresAt } = event.data;
    expect(offer?.data).toMatchObject({ tripId, version, pickup, dropoff, fare, offerExpiresAt });
  });

  test('a rider sees the driver and the vehicle, and not who else was asked', () => {
    const event = tripEvent('trip.cancelled.v1', { rider, driver, asked });
    const [told] = notificationsOf(event);
    expect(told?.data).toMatchObject({ riderId: rider, driverId: driver, vehicle: event.data.vehicle });
    expect(JSON.stringify(told?.data)).not.toContain(asked);
  });
});
