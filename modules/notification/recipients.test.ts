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

const recipientsOf = (type: TripEventType, people: Omit<TripPeople, 'rider'> = {}) =>
  notificationsOf(tripEventOf(type, { rider, ...people })).map(({ personId, event }) => [
    nameOf(personId),
    event,
  ]);
const nameOf = (id: string) => ({ [rider]: 'rider', [driver]: 'driver', [offered]: 'offered' })[id];

describe('recipients of a trip event', () => {
  test('a request or a decline has no recipient', () => {
    expect(recipientsOf('trip.requested.v1')).toEqual([]);
    expect(recipientsOf('trip.offer_declined.v1', { offered })).toEqual([]);
  });

  test('an offer and its lapse go only to the driver with the offer', () => {
    expect(recipientsOf('trip.offered.v1', { offered })).toEqual([['offered', 'trip.offered']]);
    expect(recipientsOf('trip.offer_lapsed.v1', { offered })).toEqual([['offered', 'trip.offer_lapsed']]);
  });

  test('the assignment and the end of the trip go to rider and driver', () => {
    for (const type of ['trip.assigned.v1', 'trip.completed.v1'] as const) {
      const event = type.slice(0, -3);
      expect(recipientsOf(type, { driver })).toEqual([
        ['rider', event],
        ['driver', event],
      ]);
    }
  });

  test('the arrival and the start go to the rider', () => {
    expect(recipientsOf('trip.arrived.v1', { driver })).toEqual([['rider', 'trip.arrived']]);
    expect(recipientsOf('trip.started.v1', { driver })).toEqual([['rider', 'trip.started']]);
  });

  test('a replacement goes to the rider and the replaced driver', () => {
    const event = tripEventOf('trip.driver_replaced.v1', { rider });
    event.data.replacedDriverId = asDriverId(driver);
    expect(notificationsOf(event).map(({ personId }) => nameOf(personId))).toEqual(['rider', 'driver']);
    expect(followerUpdateOf(event)).toMatchObject({ driverId: driver, riderId: undefined });
  });

  test('a cancellation also goes to the assigned driver', () => {
    expect(recipientsOf('trip.cancelled.v1', { driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });

  test('a trip that ends while an offer is open also goes to the driver with the offer', () => {
    expect(recipientsOf('trip.cancelled.v1', { offered })).toEqual([
      ['rider', 'trip.cancelled'],
      ['offered', 'trip.cancelled'],
    ]);
    expect(recipientsOf('trip.unfulfilled.v1', { offered })).toEqual([
      ['rider', 'trip.unfulfilled'],
      ['offered', 'trip.unfulfilled'],
    ]);
  });

  test('nobody is notified twice of one event', () => {
    expect(recipientsOf('trip.cancelled.v1', { driver, offered: driver })).toEqual([
      ['rider', 'trip.cancelled'],
      ['driver', 'trip.cancelled'],
    ]);
  });
});

describe('recipients of a payment event', () => {
  test.each(['captured', 'failed', 'refunded'] as const)('%s go to rider and driver', (what) => {
    const notifications = notificationsOf(paymentEventOf(`payment.${what}.v1`, rider, driver));
    expect(notifications.map(({ personId, event }) => [nameOf(personId), event])).toEqual([
      ['rider', `payment.${what}`],
      ['driver', `payment.${what}`],
    ]);
  });

  test('a declined or released payment goes only to the rider, since no driver drove', () => {
    for (const type of ['payment.declined.v1', 'payment.voided.v1'] as const) {
      const notifications = notificationsOf(paymentEventOf(type, rider, driver));
      expect(notifications.map(({ personId }) => nameOf(personId))).toEqual(['rider']);
    }
  });
});

describe('views of events', () => {
  const routeFields = ['pickup', 'dropoff', 'product', 'distanceMetres', 'durationSeconds', 'fare'];
  const commonFields = ['tripId', 'version', 'status', 'at'];
  const ofTrip = [...commonFields, ...routeFields, 'vehicle', 'endedBy', 'reason'];
  const fieldsOf = (event: DomainEvent) =>
    notificationsOf(event).map(({ personId, data }) => [nameOf(personId), Object.keys(data).sort()]);

  test.each([
    ['trip.offered.v1', { offered }, [['offered', [...commonFields, ...routeFields, 'offerExpiresAt']]]],
    ['trip.offer_lapsed.v1', { offered }, [['offered', [...commonFields, ...routeFields, 'offerExpiresAt']]]],
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
        ['offered', [...commonFields, ...routeFields, 'offerExpiresAt']],
      ],
    ],
    [
      'trip.unfulfilled.v1',
      { offered },
      [
        ['rider', [...ofTrip, 'driver']],
        ['offered', [...commonFields, ...routeFields, 'offerExpiresAt']],
      ],
    ],
  ] as const)('of %s these fields and no other', (type, people, expected) => {
    expect(fieldsOf(tripEventOf(type, { rider, ...people }))).toEqual(
      expected.map(([name, fields]) => [name, [...fields].sort()]),
    );
  });

  test('after a replacement the rider sees the trip without a driver, and the driver sees that it continues', () => {
    const event = tripEventOf('trip.driver_replaced.v1', { rider });
    Object.assign(event.data, { replacedDriverId: driver, driver: null, vehicle: null });
    expect(fieldsOf(event)).toEqual([
      ['rider', [...ofTrip, 'driver'].sort()],
      ['driver', [...commonFields, 'reason'].sort()],
    ]);
  });

  test('of a payment the rider sees why it failed, the driver what was paid, and neither sees the other person', () => {
    const ofPayment = ['paymentId', 'tripId', 'status', 'amount', 'refunded', 'at'];
    for (const type of ['payment.captured.v1', 'payment.failed.v1', 'payment.refunded.v1'] as const)
      for (const [name, fields] of fieldsOf(paymentEventOf(type, rider, driver)))
        expect(fields).toEqual((name === 'rider' ? [...ofPayment, 'failureReason'] : ofPayment).toSorted());
  });

  test('no event sends anyone the id of another person', () => {
    const types = (Object.keys(eventSchemas) as EventType[]).filter((type) => !type.startsWith('user.'));
    for (const type of types) {
      const event = type.startsWith('trip.')
        ? tripEventOf(type as TripEventType, { rider, driver, offered })
        : paymentEventOf(type as PaymentEventType, rider, driver);
      for (const { data } of notificationsOf(event))
        for (const id of [rider, driver, offered]) expect(JSON.stringify(data)).not.toContain(id);
    }
  });

  test('a reason written by an operator is shown to operators only', () => {
    const event = tripEventOf('trip.cancelled.v1', { rider, driver });
    Object.assign(event.data, { endedBy: 'ops', reason: 'the driver was arrested' });
    for (const { data } of notificationsOf(event))
      expect(data).toMatchObject({ endedBy: 'ops', reason: null });
    expect(operatorViewOf(event)?.data).toMatchObject({ reason: 'the driver was arrested' });
    Object.assign(event.data, { endedBy: 'driver', reason: 'flat tyre' });
    for (const { data } of notificationsOf(event)) expect(data).toMatchObject({ reason: 'flat tyre' });
  });

  test('operators see people by id, without names or payment details', () => {
    const data = operatorViewOf(tripEventOf('trip.assigned.v1', { rider, driver }))?.data;
    expect(Object.keys(data ?? {}).sort()).toEqual(
      [
        ...[
          ...commonFields,
          ...routeFields,
          'vehicle',
          'endedBy',
          'reason',
          'riderId',
          'driverId',
          'offeredDriverId',
        ],
        ...['offerExpiresAt', 'replacedDriverId', 'startedAt', 'fareRule'],
      ].sort(),
    );
  });

  test('an event of an older version without names shows none', () => {
    const event = tripEventOf('trip.assigned.v1', { rider, driver });
    delete event.data.rider;
    delete event.data.driver;
    const [toRider, toDriver] = notificationsOf(event);
    expect([toRider?.data.driver, toDriver?.data.rider]).toEqual([null, null]);
  });
});
