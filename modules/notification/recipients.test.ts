import { describe, expect, test } from 'bun:test';
import {
  type DomainEvent,
  type EventType,
  eventSchemas,
  type PaymentEventType,
  type TripEventType,
} from '@contracts/events.ts';
import { asDriverId } from '@contracts/ids.ts';
import { followerUpdateOf, notificationsOf, operatorViewOf } from './recipients.ts';
import { newPerson, paymentEventOf, type TripPeople, tripEventOf } from './testing/harness.ts';

const rider = newPerson();
const driver = newPerson();
const offered = newPerson();

const hears = (type: TripEventType, people: Omit<TripPeople, 'rider'> = {}) =>
  notificationsOf(tripEventOf(type, { rider, ...people })).map(({ personId, event }) => [
    nameOf(personId),
    event,
  ]);
const nameOf = (id: string) => ({ [rider]: 'rider', [driver]: 'driver', [offered]: 'asked' })[id];

describe('who hears of a trip', () => {
  test('nobody hears of their own request or decline', () => {
    expect(hears('trip.requested.v1')).toEqual([]);
    expect(hears('trip.offer_declined.v1', { offered })).toEqual([]);
  });

  test('only the driver who is asked hears of an offer and of its lapse', () => {
    expect(hears('trip.offered.v1', { offered })).toEqual([['asked', 'trip.offered']]);
    expect(hears('trip.offer_lapsed.v1', { offered })).toEqual([['asked', 'trip.offer_lapsed']]);
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
    const event = tripEventOf('trip.driver_replaced.v1', { rider });
    event.data.replacedDriverId = asDriverId(driver);
    expect(notificationsOf(event).map(({ personId }) => nameOf(personId))).toEqual(['rider', 'driver']);
    expect(followerUpdateOf(event)).toMatchObject({ driverId: driver, riderId: undefined });
  });

  test('a cancelled trip ends the assignment of its driver', () => {
    expect(hears('trip.cancelled.v1', { driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });

  test('a trip that ends while a driver is being asked ends the offer', () => {
    expect(hears('trip.cancelled.v1', { offered })).toEqual([
      ['rider', 'trip.cancelled'],
      ['asked', 'trip.cancelled'],
    ]);
    expect(hears('trip.unfulfilled.v1', { offered })).toEqual([
      ['rider', 'trip.unfulfilled'],
      ['asked', 'trip.unfulfilled'],
    ]);
  });

  test('nobody hears of one event twice', () => {
    expect(hears('trip.cancelled.v1', { driver, offered: driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });
});

describe('who hears of a payment', () => {
  test.each(['captured', 'failed', 'refunded'] as const)('rider and driver hear that it was %s', (what) => {
    const told = notificationsOf(paymentEventOf(`payment.${what}.v1`, rider, driver));
    expect(told.map(({ personId, event }) => [nameOf(personId), event])).toEqual([
      ['rider', `payment.${what}`],
      ['driver', `payment.${what}`],
    ]);
  });

  test('only the rider hears that it was declined or released, since no driver drove', () => {
    for (const type of ['payment.declined.v1', 'payment.voided.v1'] as const) {
      const told = notificationsOf(paymentEventOf(type, rider, driver));
      expect(told.map(({ personId }) => nameOf(personId))).toEqual(['rider']);
    }
  });
});

describe('what people see', () => {
  const way = ['pickup', 'dropoff', 'product', 'distanceMetres', 'durationSeconds', 'fare'];
  const news = ['tripId', 'version', 'status', 'at'];
  const ofTrip = [...news, ...way, 'vehicle', 'endedBy', 'reason'];
  const fieldsOf = (event: DomainEvent) =>
    notificationsOf(event).map(({ personId, data }) => [nameOf(personId), Object.keys(data).sort()]);

  test.each([
    ['trip.offered.v1', { offered }, [['asked', [...news, ...way, 'offerExpiresAt']]]],
    ['trip.offer_lapsed.v1', { offered }, [['asked', [...news, ...way, 'offerExpiresAt']]]],
    [
      'trip.assigned.v1',
      { driver },
      [
        ['rider', [...ofTrip, 'driver']],
        ['driver', [...ofTrip, 'rider']],
      ],
    ],
    ['trip.arrived.v1', { driver }, [['rider', [...ofTrip, 'driver']]]],
    ['trip.started.v1', { driver }, [['rider', [...ofTrip, 'driver']]]],
    [
      'trip.completed.v1',
      { driver },
      [
        ['rider', [...ofTrip, 'driver']],
        ['driver', [...ofTrip, 'rider']],
      ],
    ],
    [
      'trip.cancelled.v1',
      { offered },
      [
        ['rider', [...ofTrip, 'driver']],
        ['asked', [...news, ...way, 'offerExpiresAt']],
      ],
    ],
    [
      'trip.unfulfilled.v1',
      { offered },
      [
        ['rider', [...ofTrip, 'driver']],
        ['asked', [...news, ...way, 'offerExpiresAt']],
      ],
    ],
  ] as const)('of %s these fields and no other', (type, people, expected) => {
    expect(fieldsOf(tripEventOf(type, { rider, ...people }))).toEqual(
      expected.map(([name, fields]) => [name, [...fields].sort()]),
    );
  });

  test('of a replaced driver the rider sees the trip without a driver, and the driver that it goes on', () => {
    const event = tripEventOf('trip.driver_replaced.v1', { rider });
    Object.assign(event.data, { replacedDriverId: driver, driver: null, vehicle: null });
    expect(fieldsOf(event)).toEqual([
      ['rider', [...ofTrip, 'driver'].sort()],
      ['driver', [...news, 'reason'].sort()],
    ]);
  });

  test('of a payment the rider sees why it failed, the driver what was paid, and neither the other', () => {
    const ofPayment = ['paymentId', 'tripId', 'status', 'amount', 'refunded', 'at'];
    for (const type of ['payment.captured.v1', 'payment.failed.v1', 'payment.refunded.v1'] as const)
      for (const [name, fields] of fieldsOf(paymentEventOf(type, rider, driver)))
        expect(fields).toEqual((name === 'rider' ? [...ofPayment, 'failureReason'] : ofPayment).toSorted());
  });

  test('nobody is sent the id of another, whatever the event', () => {
    const types = (Object.keys(eventSchemas) as EventType[]).filter((type) => !type.startsWith('user.'));
    for (const type of types) {
      const event = type.startsWith('trip.')
        ? tripEventOf(type as TripEventType, { rider, driver, offered })
        : paymentEventOf(type as PaymentEventType, rider, driver);
      for (const { data } of notificationsOf(event))
        for (const id of [rider, driver, offered]) expect(JSON.stringify(data)).not.toContain(id);
    }
  });

  test('what an operator wrote is for operators', () => {
    const event = tripEventOf('trip.cancelled.v1', { rider, driver });
    Object.assign(event.data, { endedBy: 'ops', reason: 'the driver was arrested' });
    for (const { data } of notificationsOf(event))
      expect(data).toMatchObject({ endedBy: 'ops', reason: null });
    expect(operatorViewOf(event)?.data).toMatchObject({ reason: 'the driver was arrested' });
    Object.assign(event.data, { endedBy: 'driver', reason: 'flat tyre' });
    for (const { data } of notificationsOf(event)) expect(data).toMatchObject({ reason: 'flat tyre' });
  });

  test('operators see people by id, and neither names nor how a trip is paid', () => {
    const data = operatorViewOf(tripEventOf('trip.assigned.v1', { rider, driver }))?.data;
    expect(Object.keys(data ?? {}).sort()).toEqual(
      [
        ...[...news, ...way, 'vehicle', 'endedBy', 'reason', 'riderId', 'driverId', 'offeredDriverId'],
        ...['offerExpiresAt', 'replacedDriverId', 'startedAt', 'fareRule'],
      ].sort(),
    );
  });

  test('an event from before there were names shows none', () => {
    const event = tripEventOf('trip.assigned.v1', { rider, driver });
    delete event.data.rider;
    delete event.data.driver;
    const [toRider, toDriver] = notificationsOf(event);
    expect([toRider?.data.driver, toDriver?.data.rider]).toEqual([null, null]);
  });
});
