import { beforeEach, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripSnapshot } from '@contracts/events.ts';
import { Receipt } from '@contracts/payments.ts';
import { until } from '@testing/until.ts';
import { type TripTracks, trackWaitMsMax } from '../ports.ts';
import { createRiderWithCard, createTripCompletedEvent } from '../testing/harness.ts';
import type { PaymentInstance } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';
import { calculateFare } from './fare.ts';
import { tariffs } from './tariffs.ts';

const payment = useTestPayment();
/** The answer of the driver context, and the calls to it. */
let summarise: TripTracks['summarise'];
let trackCalls: unknown[][];
let service: PaymentInstance;
beforeEach(async () => {
  trackCalls = [];
  service = await payment.startInstance({
    tracks: {
      summarise(...range) {
        trackCalls.push(range);
        return summarise(...range);
      },
    },
  });
});

const quoted = calculateFare(tariffs.VND.car, 10_000, 900);
const quotedFare = { amountMinor: quoted.totalMinor, currency: 'VND' } as const;
const shorter = calculateFare(tariffs.VND.car, 7_000, 900);

const track = (distanceMetres: number): TrackSummary => ({
  points: 200,
  distanceMetres,
  firstAt: formatTimestamp(payment.clock.nowMs() - 899_000),
  lastAt: formatTimestamp(payment.clock.nowMs() - 1_000),
  longestGapSeconds: 5,
});

/** A 15-minute ride that has just ended, and a wait for its captured receipt. */
async function ride(facts: Partial<TripSnapshot> = {}) {
  const { riderId, paymentMethodId, bearer } = await createRiderWithCard(payment, service);
  const event = createTripCompletedEvent(payment, {
    ...{ riderId, paymentMethodId, product: 'car', distanceMetres: 10_000, durationSeconds: 900 },
    ...{
      fare: quotedFare,
      fareLines: quoted.lines,
      startedAt: formatTimestamp(payment.clock.nowMs() - 900_000),
    },
    ...facts,
  });
  const captured = () =>
    until(async () => {
      const path = `/v1/trips/${event.data.tripId}/receipt`;
      const answer = await service.send('GET', path, { headers: bearer });
      const receipt = answer.status === 200 ? answer.as(Receipt) : undefined;
      return receipt?.status === 'captured' ? receipt : undefined;
    });
  return { event, captured };
}

test('a ride that was shorter than quoted is charged by its track, and the driver gets their share of that fare', async () => {
  summarise = async () => track(7_000);
  const { event, captured } = await ride();
  await payment.bus.publish([event]);
  const receipt = await captured();
  expect(receipt).toMatchObject({
    total: { amountMinor: shorter.totalMinor, currency: 'VND' },
    lines: shorter.lines,
    distanceMetres: 7_000,
  });
  const { tripId, startedAt, at } = event.data;
  expect(trackCalls).toEqual([[tripId, startedAt, at]]);
  const entries = await payment.sql`select amount_minor from entries where account like 'driver:%'`;
  expect(entries.map((row) => Number(row.amount_minor))).toEqual([
    shorter.totalMinor - Math.floor(shorter.totalMinor / 5),
  ]);
  expect(service.metrics.text()).toContain('fares_total{by="track"} 1\n');
});

test('a redelivered completion does not change the fare, whatever the track is by then', async () => {
  summarise = async () => track(7_000);
  const { event, captured } = await ride();
  await payment.bus.publish([event]);
  await captured();
  summarise = async () => track(5_500);
  await payment.bus.publish([event, { ...event, id: payment.ids() }]);
  await until(() => trackCalls.length === 3);
  await until(async () => (await payment.sql`select from inbox`).length === 2);
  expect((await captured()).total.amountMinor).toBe(shorter.totalMinor);
  expect(await payment.sql`select from payments`).toHaveLength(1);
});

test('while the driver context is unavailable, the quoted fare is charged', async () => {
  summarise = () => Promise.reject(Object.assign(new Error('unavailable'), { code: 'ECONNREFUSED' }));
  const { event, captured } = await ride();
  await payment.bus.publish([event]);
  expect((await captured()).total).toEqual(quotedFare);
  expect(service.metrics.text()).toContain('fare_tracks_missed_total 1\n');
});

test('while the driver context hangs, the fare waits a second and is then the quoted one', async () => {
  summarise = () => new Promise(() => undefined);
  const { event, captured } = await ride();
  await payment.bus.publish([event]);
  await until(() => trackCalls.length === 1);
  await payment.clock.advance(trackWaitMsMax - 1);
  expect(await payment.sql`select from payments`).toHaveLength(0);
  await payment.clock.advance(1);
  expect((await captured()).total).toEqual(quotedFare);
});

test('a malformed track summary leaves the quoted fare', async () => {
  // As an older driver service answers, which does not report gaps.
  const { longestGapSeconds: _, ...older } = track(7_000);
  summarise = async () => older as TrackSummary;
  const { event, captured } = await ride();
  await payment.bus.publish([event]);
  expect((await captured()).total).toEqual(quotedFare);
});

test('a stuck ride is charged by the meter, from its start to the last position', async () => {
  const lastAt = formatTimestamp(payment.clock.nowMs() - 600_000);
  summarise = async () => ({ ...track(3_000), lastAt });
  const metered = calculateFare(tariffs.VND.car, 3_000, 300);
  const { event, captured } = await ride({ endedBy: 'system', reason: 'trip_stuck', fareRule: 'metered' });
  await payment.bus.publish([event]);
  expect(await captured()).toMatchObject({
    ...{ total: { amountMinor: metered.totalMinor, currency: 'VND' }, lines: metered.lines },
    ...{ distanceMetres: 3_000, durationSeconds: 300 },
  });
  expect(service.metrics.text()).toContain('fares_total{by="meter"} 1\n');
});

test('a metered ride waits for the driver context and is then charged by its track', async () => {
  summarise = () => Promise.reject(Object.assign(new Error('unavailable'), { code: 'ECONNREFUSED' }));
  const { event, captured } = await ride({ endedBy: 'rider', fareRule: 'metered' });
  await payment.bus.publish([event]);
  await until(() => trackCalls.length === 1);
  expect(await payment.sql`select from payments`).toHaveLength(0);
  summarise = async () => ({ ...track(0), points: 0, firstAt: null, lastAt: null });
  await until(async () => {
    await payment.clock.advance(100);
    return (await payment.sql`select from payments`).length === 1;
  });
  expect((await captured()).total.amountMinor).toBe(tariffs.VND.car.minimumMinor);
});
