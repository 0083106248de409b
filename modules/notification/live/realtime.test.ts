import { afterEach, describe, expect, test } from 'bun:test';
import type { PositionFix } from '@contracts/drivers.ts';
import type { DriverId, PersonId } from '@contracts/ids.ts';
import type { ServerFrame } from '@contracts/realtime.ts';
import { createManualClock, systemClock } from '@platform/clock.ts';
import { sampleTrip } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import fc from 'fast-check';
import {
  newPerson,
  openSocket,
  startTestInstance,
  type TestInstance,
  type TestInstanceOptions,
  tripEventOf,
} from '../testing/harness.ts';

const running: TestInstance[] = [];
async function start(options: TestInstanceOptions = {}): Promise<TestInstance> {
  const instance = await startTestInstance(options);
  running.push(instance);
  return instance;
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((instance) => instance.stop()));
});

/** Publishes `count` events for the rider; resolves once they are in the inbox. */
async function publishEvents({ bus, inbox }: TestInstance, rider: PersonId, count: number): Promise<number> {
  const [before = 0] = await inbox.lastSeqs([rider], systemClock.nowMs());
  for (let n = 0; n < count; n++) await bus.publish([tripEventOf('trip.arrived.v1', { rider })]);
  await until(async () => (await inbox.lastSeqs([rider], systemClock.nowMs()))[0] === before + count);
  return before + count;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

/** The response to a rejected WebSocket handshake. */
async function handshake(instance: TestInstance, ticket: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${instance.url}/v1/realtime?ticket=${ticket}`, {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    },
  });
  const problem: { code: string } = JSON.parse(await response.text());
  return [response.status, problem.code];
}

describe('POST /v1/realtime/ticket', () => {
  test('answers 201 with an uncacheable ticket for a rider, a driver and an operator', async () => {
    const { url, tokens } = await start();
    for (const role of ['rider', 'driver', 'ops'] as const) {
      const response = await fetch(`${url}/v1/realtime/ticket`, {
        method: 'POST',
        headers: tokens.bearer(newPerson(), role),
      });
      expect(response.status).toBe(201);
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(await response.json()).toEqual({
        ticket: expect.stringMatching(/^[\w-]{32}$/),
        expiresAt: expect.any(String),
      });
    }
  });

  test('answers 401 without a token', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/v1/realtime/ticket`, { method: 'POST' });
    expect([response.status, await response.json()]).toMatchObject([401, { code: 'auth.token_missing' }]);
  });
});

describe('GET /v1/realtime', () => {
  test('answers 400 to a request that is not a WebSocket handshake', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/v1/realtime?ticket=x`);
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { code: 'realtime.upgrade_needed' },
    ]);
  });

  test('answers 400 with the supported version to a handshake of another WebSocket version', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/v1/realtime?ticket=x`, {
      headers: {
        ...{ upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '8' },
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    });
    expect([response.status, response.headers.get('sec-websocket-version')]).toEqual([400, '13']);
  });

  test('answers 401 to an unknown, missing or malformed ticket', async () => {
    const instance = await start();
    for (const ticket of ['unknown', '', 'x'.repeat(5_000)])
      expect(await handshake(instance, ticket)).toEqual([401, 'realtime.ticket_invalid']);
  });

  test('answers 401 to a used ticket', async () => {
    const instance = await start();
    const ticket = await instance.ticket(newPerson());
    await openSocket(instance.url, ticket).waitForWelcome();
    expect(await handshake(instance, ticket)).toEqual([401, 'realtime.ticket_invalid']);
  });

  test('answers 401 to a ticket older than 30 s', async () => {
    const clock = createManualClock(1_763_800_000_000);
    const instance = await start({ clock });
    const ticket = await instance.ticket(newPerson());
    await clock.advance(30_000);
    expect(await handshake(instance, ticket)).toEqual([401, 'realtime.ticket_invalid']);
  });

  test('answers 403 to a page of a foreign origin and leaves its ticket unused', async () => {
    const instance = await start({
      settings: { CORS_ORIGINS: 'https://app.example, https://ops.example' },
    });
    const ticket = await instance.ticket(newPerson());
    for (const origin of [
      'https://evil.example',
      'http://app.example',
      'https://app.example.evil.example',
      'null',
    ])
      expect(await handshake(instance, ticket, { origin })).toEqual([403, 'realtime.origin_forbidden']);
    await openSocket(instance.url, ticket, { origin: 'https://ops.example' }).waitForWelcome();
  });

  test('accepts pages of the own host, also through the edge', async () => {
    const instance = await start();
    const sameHost = openSocket(instance.url, await instance.ticket(newPerson()), { origin: instance.url });
    await sameHost.waitForWelcome();
    const forwarded = { origin: 'https://ride.example', 'x-forwarded-host': 'ride.example' };
    await openSocket(instance.url, await instance.ticket(newPerson()), forwarded).waitForWelcome();
  });

  test('answers 503 when the instance has reached its connection limit', async () => {
    const instance = await start({ settings: { SOCKETS_MAX: '1' } });
    await instance.connect(newPerson());
    const ticket = await instance.ticket(newPerson());
    expect(await handshake(instance, ticket)).toEqual([503, 'realtime.full']);
  });
});

describe('a live connection', () => {
  test('receives the events of its person in order and nothing else', async () => {
    const instance = await start();
    const [rider, driver, otherPerson] = [newPerson(), newPerson(), newPerson()];
    const [a, b, c] = [
      await instance.connect(rider),
      await instance.connect(driver, 'driver'),
      await instance.connect(otherPerson),
    ];
    const offered = tripEventOf('trip.offered.v1', { rider, offered: driver });
    const assigned = tripEventOf('trip.assigned.v1', { rider, driver });
    await instance.bus.publish([offered]);
    await instance.bus.publish([assigned]);
    await until(() => a.events().length === 1 && b.events().length === 2);
    expect(b.events().map(({ id, event }) => [id, event])).toEqual([
      [offered.id, 'trip.offered'],
      [assigned.id, 'trip.assigned'],
    ]);
    expect(a.events()[0]).toMatchObject({ id: assigned.id, data: { driver: { name: 'Trần Bình' } } });
    expect(b.seqs()).toEqual(range((await b.waitForWelcome()) + 1, (await b.waitForWelcome()) + 2));
    expect(c.events()).toEqual([]);
  });

  test('receives an event once that the bus delivers twice', async () => {
    const instance = await start();
    const rider = newPerson();
    const socket = await instance.connect(rider);
    const event = tripEventOf('trip.arrived.v1', { rider });
    await instance.bus.publish([event]);
    await instance.bus.publish([event]);
    const next = tripEventOf('trip.started.v1', { rider });
    await instance.bus.publish([next]);
    await until(() => socket.events().some(({ id }) => id === next.id));
    expect(socket.events().map(({ id }) => id)).toEqual([event.id, next.id]);
  });

  test('that resumes receives exactly what it missed, whatever happens in the meantime', async () => {
    const instance = await start();
    const rider = newPerson();
    const first = await instance.connect(rider);
    const lastSeqBefore = await publishEvents(instance, rider, 3);
    await until(() => first.seqs().length === 3);
    first.close();
    await first.closed;
    await publishEvents(instance, rider, 150);
    const again = await instance.connect(rider);
    again.send({ type: 'resume', after: lastSeqBefore });
    const last = await publishEvents(instance, rider, 20);
    await until(() => again.seqs().at(-1) === last);
    expect(again.seqs()).toEqual(range(lastSeqBefore + 1, last));
    expect(await again.waitForFrame('resumed')).toMatchObject({ recovered: true });
  });

  test('that resumes from a dropped or unknown seq receives `recovered: false` and its active trip', async () => {
    const [rider, trip] = [newPerson(), sampleTrip()];
    const instance = await start({
      settings: { INBOX_LENGTH_MAX: '10' },
      trips: { findByPeople: async (people) => people.map((personId) => ({ personId, trip })) },
    });
    const first = await instance.connect(rider);
    const before = await first.waitForWelcome();
    const lastSeq = await publishEvents(instance, rider, 11);
    for (const after of [before, lastSeq + 1, 1]) {
      const socket = await instance.connect(rider);
      socket.send({ type: 'resume', after });
      const snapshot = { trip };
      expect(await socket.waitForFrame('resumed')).toEqual({
        type: 'resumed',
        recovered: false,
        lastSeq,
        snapshot,
      });
      expect(socket.events()).toEqual([]);
      socket.close();
    }
  });

  test('receives the same events as every other connection of its person', async () => {
    const instance = await start();
    const rider = newPerson();
    const sockets = [
      await instance.connect(rider),
      await instance.connect(rider),
      await instance.connect(rider),
    ];
    const last = await publishEvents(instance, rider, 5);
    await until(() => sockets.every((socket) => socket.seqs().at(-1) === last));
    expect(new Set(sockets.map((socket) => socket.texts.slice(1).join())).size).toBe(1);
  });

  test('is closed with 4409 as the oldest when the person opens more than allowed', async () => {
    const instance = await start({ settings: { SOCKETS_PER_PERSON_MAX: '2' } });
    const rider = newPerson();
    const oldest = await instance.connect(rider);
    const second = await instance.connect(rider);
    const third = await instance.connect(rider);
    expect((await oldest.closed).code).toBe(4409);
    const last = await publishEvents(instance, rider, 1);
    await until(() => second.seqs()[0] === last && third.seqs()[0] === last);
    expect(instance.connections()).toBe(2);
  });

  test('is closed with 4401 when the login session of its ticket ends', async () => {
    const clock = createManualClock(1_763_800_000_000);
    const instance = await start({ clock, settings: { HEARTBEAT_SECONDS: '1', PEER_GONE_SECONDS: '300' } });
    const socket = openSocket(instance.url, await instance.ticket(newPerson(), 'rider', 20));
    await socket.waitForWelcome();
    await until(async () => {
      await clock.advance(1_000);
      return instance.connections() === 0;
    });
    expect((await socket.closed).code).toBe(4401);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(1_763_800_020_000);
  });

  test('is closed with 1012 and a reconnect delay when the instance stops, and new ones are rejected', async () => {
    const instance = await start();
    const sockets = [await instance.connect(newPerson()), await instance.connect(newPerson())];
    const ticket = await instance.ticket(newPerson());
    await instance.drain();
    for (const socket of sockets) {
      const { code, reason } = await socket.closed;
      expect(code).toBe(1012);
      expect(reason).toMatch(/reconnect after \d{1,4} ms/);
    }
    expect(await handshake(instance, ticket)).toEqual([503, 'realtime.restarting']);
    expect(instance.connections()).toBe(0);
  });
});

describe('a frame from a client', () => {
  test('is rejected with a code when it is invalid, and the connection stays open', async () => {
    const instance = await start();
    const rider = newPerson();
    const socket = await instance.connect(rider);
    const seq = await socket.waitForWelcome();
    for (const frame of [
      '{',
      '{"type":"hello"}',
      { type: 'ack', seq: seq + 1 },
      { type: 'location', lat: 1, lng: 2 },
    ])
      socket.send(frame);
    await until(() => socket.errorCodes().length === 4);
    expect(socket.errorCodes()).toEqual([
      'realtime.frame_malformed',
      'realtime.frame_invalid',
      'realtime.ack_unsent',
      'realtime.role_forbidden',
    ]);
    const last = await publishEvents(instance, rider, 1);
    await until(() => socket.seqs().includes(last));
  });

  test('of any content leaves the server running and the connection usable', async () => {
    const instance = await start({
      settings: { SOCKET_ERRORS_PER_MINUTE_MAX: '10000', SOCKET_FRAMES_PER_SECOND_MAX: '100000' },
    });
    const driver = newPerson();
    const socket = await instance.connect(driver, 'driver');
    const type = fc.constantFrom('resume', 'ack', 'location', 'locations', 'event', '');
    const frames = fc.sample(
      fc.oneof(
        fc.string({ maxLength: 200 }),
        fc.json(),
        fc.uint8Array({ maxLength: 200 }),
        fc
          .tuple(type, fc.dictionary(fc.constantFrom('after', 'seq', 'lat', 'lng', 'points'), fc.jsonValue()))
          .map(([name, rest]) => JSON.stringify({ ...rest, type: name })),
      ),
      1_000,
    );
    for (const frame of frames) socket.send(frame);
    const event = tripEventOf('trip.offered.v1', { rider: newPerson(), offered: driver });
    await instance.bus.publish([event]);
    await until(() => socket.events().some(({ id }) => id === event.id));
    expect(socket.errorCodes().length).toBeGreaterThan(500);
  });

  test('that is invalid too often closes the connection with 1008', async () => {
    const instance = await start();
    const socket = await instance.connect(newPerson());
    for (let n = 0; n < 40; n++) socket.send('nonsense');
    expect((await socket.closed).code).toBe(1008);
    expect(socket.errorCodes()).toHaveLength(30);
  });

  test('above the rate limit is rejected', async () => {
    const instance = await start({ settings: { SOCKET_FRAMES_PER_SECOND_MAX: '5' } });
    const socket = await instance.connect(newPerson());
    const seq = await socket.waitForWelcome();
    for (let n = 0; n < 12; n++) socket.send({ type: 'ack', seq });
    await until(() => socket.errorCodes().includes('realtime.too_many_frames'));
  });

  test('that is too large closes the connection', async () => {
    const instance = await start();
    const socket = await instance.connect(newPerson(), 'driver');
    socket.send(
      JSON.stringify({ type: 'locations', points: Array(1_000).fill({ lat: 10.123456, lng: 106.123456 }) }),
    );
    // 1009 (too large), or no code if the server closed the socket before its close frame was read.
    expect([1006, 1009]).toContain((await socket.closed).code);
    await until(() => instance.connections() === 0);
  });

  test('with positions reaches the sink under the id of the driver, and rejection codes are returned', async () => {
    const recorded: { driverId: DriverId; points: readonly PositionFix[] }[] = [];
    const instance = await start({
      positions: {
        async record(driverId, points) {
          recorded.push({ driverId, points });
          return ['position.stale'];
        },
        drain: async () => undefined,
      },
    });
    const [a, b] = [newPerson(), newPerson()];
    const [first, second] = [await instance.connect(a, 'driver'), await instance.connect(b, 'driver')];
    first.send({ type: 'location', lat: 10.1, lng: 106.1, accuracyMetres: 4 });
    first.send({
      type: 'locations',
      points: [
        { lat: 10.2, lng: 106.2 },
        { lat: 10.3, lng: 106.3 },
      ],
    });
    await until(() => first.errorCodes().length === 2);
    expect(
      recorded.flatMap(({ driverId, points }) => points.map(({ lat }) => [String(driverId), lat])),
    ).toEqual([
      [a, 10.1],
      [a, 10.2],
      [a, 10.3],
    ]);
    expect(new Set(first.errorCodes())).toEqual(new Set(['position.stale']));
    expect(second.errorCodes()).toEqual([]);
  });
});

test('one event produces the same text, except for the seq, for everyone with the same view', async () => {
  const instance = await start();
  const [rider, driver] = [newPerson(), newPerson()];
  const socket = await instance.connect(driver, 'driver');
  await instance.bus.publish([tripEventOf('trip.completed.v1', { rider, driver })]);
  const live = await until(() => socket.texts.find((text) => text.includes('"event"')));
  socket.send({ type: 'resume', after: 0 });
  await socket.waitForFrame('resumed');
  const events = socket.texts.filter((text) => text.includes('"type":"event"'));
  expect(events).toEqual([live, live]);
  const frame: ServerFrame = JSON.parse(live);
  expect(Object.keys(frame)).toEqual(['type', 'seq', 'id', 'event', 'data']);
});
