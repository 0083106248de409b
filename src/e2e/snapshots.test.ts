import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import type { Quote } from '@contracts/payments.ts';
import { ResumedFrame } from '@contracts/realtime.ts';
import type { Trip } from '@contracts/trips.ts';
import { Value } from '@sinclair/typebox/value';
import { expectStatus, type PersonClient, signUpDriver, signUpRider } from '@testing/people.ts';
import { connectRealtime, type RealtimeClient } from '@testing/realtime.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

setDefaultTimeout(60_000);

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };

/** Resumes after a seq that is no longer in the inbox, and returns the answer. */
async function resumed(live: RealtimeClient): Promise<ResumedFrame> {
  const before = live.frames.length;
  live.send({ type: 'resume', after: 1 });
  const frame = await until(() => live.frames.slice(before).find(({ type }) => type === 'resumed'), {
    describe: 'the answer to the resume',
  });
  return Value.Parse(ResumedFrame, frame);
}

describe.each(['one process, embedded adapters', 'fleet'] as const)('%s', (topology) => {
  let system: RunningSystem;
  let rider: PersonClient;
  let driver: PersonClient;
  let tripId: string;

  beforeAll(async () => {
    system = await startSystem(topology);
    rider = await signUpRider(system.url);
    driver = await signUpDriver(system.url, pickup);
  });
  afterAll(() => system?.stop());

  const tripOf = async (person: PersonClient) =>
    (await expectStatus(200, person.request<Trip>('GET', `/v1/trips/${tripId}`))).body;

  test('a driver who missed events gets a snapshot of the trip they are offered, and the events that follow it', async () => {
    const quote = await expectStatus(
      201,
      rider.request<Quote>('POST', '/v1/quotes', { body: { pickup, dropoff, product: 'car' } }),
    );
    const created = await expectStatus(
      201,
      rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.body.id } }),
    );
    tripId = created.body.id;
    await until(async () => (await driver.request('GET', `/v1/trips/${tripId}`)).status === 200, {
      describe: 'the offer',
    });
    const live = await connectRealtime(system.url, driver);
    const frame = await resumed(live);
    expect(frame).toMatchObject({ recovered: false, snapshot: { trip: { status: 'offered' } } });
    expect(frame.snapshot?.trip).toEqual(await tripOf(driver));
    await expectStatus(200, driver.request('POST', `/v1/trips/${tripId}/accept`, { body: {} }));
    const { seq, data } = await live.waitForEvent('trip.assigned');
    expect(seq).toBeGreaterThan(frame.lastSeq);
    expect(data.version).toBe((frame.snapshot?.trip?.version ?? 0) + 1);
    live.close();
  });

  test('rider and driver each get their own view of the trip, and a person without a trip gets null', async () => {
    const [ofRider, ofDriver, ofOther] = await Promise.all(
      [rider, driver, await signUpRider(system.url)].map(async (person) => {
        const live = await connectRealtime(system.url, person);
        const { snapshot } = await resumed(live);
        live.close();
        return snapshot;
      }),
    );
    expect(ofRider).toEqual({ trip: await tripOf(rider) });
    expect(ofRider?.trip).toMatchObject({ status: 'assigned', startCode: expect.stringMatching(/^\d{4}$/) });
    expect(ofDriver).toEqual({ trip: await tripOf(driver) });
    expect(ofDriver?.trip).not.toHaveProperty('startCode');
    expect(ofOther).toEqual({ trip: null });
  });

  test('a person who is no longer on the trip gets null', async () => {
    await expectStatus(
      200,
      rider.request('POST', `/v1/trips/${tripId}/cancel`, { body: { reason: 'not needed any more' } }),
    );
    const live = await connectRealtime(system.url, rider);
    expect((await resumed(live)).snapshot).toEqual({ trip: null });
    live.close();
  });

  if (topology === 'fleet') {
    test('while the trip service hangs or is down, there is no snapshot and the connection stays open', async () => {
      const live = await connectRealtime(system.url, rider);
      const trip = system.fleet?.services.trip;
      trip?.signal('SIGSTOP');
      const hung = await resumed(live);
      expect([hung.recovered, 'snapshot' in hung]).toEqual([false, false]);
      trip?.signal('SIGKILL');
      trip?.signal('SIGCONT');
      await until(() => trip?.isReady() === false, { describe: 'the trip service to be gone' });
      const gone = await resumed(live);
      expect([gone.recovered, 'snapshot' in gone]).toEqual([false, false]);
      await until(async () => 'snapshot' in (await resumed(live)), {
        describe: 'a snapshot once the trip service is back, on the same connection',
        timeoutMs: 30_000,
      });
      live.close();
    });
  }
});
