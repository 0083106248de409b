import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DeadLetterDetail, DeadLetterPage, DeadLettersResult } from '@contracts/dead-letters.ts';
import type { PersonId } from '@contracts/ids.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { done, type HandlerOutcome, type OperableBus } from '../bus/bus.ts';
import { createMemoryBus } from '../bus/memory.ts';
import { createManualClock } from '../clock.ts';
import { createIds } from '../ids.ts';
import type { Log } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { systemRandom } from '../random.ts';
import { createHttpApp } from './app.ts';
import { createDeadLetterRoutes } from './dead-letter-routes.ts';

const base = '/v1/ops/dead-letters/test';
const clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
const ids = createIds(clock, systemRandom);
const tokens = createTestTokens(clock);
const retentionMs = 7 * 24 * 3_600_000;
const operator = ids<PersonId>();

let bus: OperableBus;
let applied: Set<string>;
let isInboxUnavailable: boolean;
let logged: Record<string, unknown>[];
let outcome: HandlerOutcome;
let app: { handle(request: Request): Promise<Response> };

beforeEach(async () => {
  applied = new Set();
  isInboxUnavailable = false;
  logged = [];
  outcome = { kind: 'reject', reason: 'no' };
  const write = (level: string) => (fields: object) => void logged.push({ level, ...fields });
  const log: Log = { debug() {}, info: write('info'), warn: write('warn'), error() {}, child: () => log };
  bus = createMemoryBus({ clock, random: systemRandom, log: { ...log, warn() {} } });
  const queues = [
    {
      queue: 'test.inbox',
      appliedEvents: {
        retentionMs,
        find: async () => {
          if (isInboxUnavailable) throw new Error('unavailable');
          return applied;
        },
      },
    },
    { queue: 'test.fenced' },
  ];
  for (const { queue } of queues)
    await bus.subscribe({ queue, events: ['trip.requested.v1'], prefetch: 5, handle: async () => outcome });
  app = createHttpApp({
    ...{
      service: 'test',
      clock,
      ids,
      log,
      metrics: createMetrics(),
      isAccepting: () => true,
      readinessChecks: {},
    },
    ...{ accessLog: false, bodyBytesMax: 65_536 },
  }).use(createDeadLetterRoutes({ context: 'test', queues, bus, guard: tokens.guard, clock, log }));
});
afterEach(() => bus.close());

async function sendRequest<Body = unknown>(
  method: string,
  path: string,
  body?: unknown,
  role: 'ops' | 'rider' = 'ops',
) {
  const response = await app.handle(
    new Request(`http://localhost${base}${path}`, {
      method,
      headers: {
        ...tokens.bearer(operator, role),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
  const text = await response.text();
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as Body };
}

async function kill(count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => sampleTripEvent());
  await bus.publish(events);
  await until(async () => (await bus.queueCounts('test.inbox')).dead >= count);
  return events.map(({ id }) => id);
}

test('only operators may use the routes', async () => {
  const routes = [
    ['GET', ''],
    ['GET', '/test.inbox'],
    ['GET', `/test.inbox/${ids()}`],
    ['DELETE', `/test.inbox/${ids()}`],
    ['POST', '/test.inbox/redrive', { all: true }],
    ['POST', '/test.inbox/drop', { all: true }],
  ] as const;
  for (const [method, path, body] of routes) {
    expect([method, path, (await sendRequest(method, path, body, 'rider')).status]).toEqual([
      method,
      path,
      403,
    ]);
    const bare = await app.handle(new Request(`http://localhost${base}${path}`, { method }));
    expect([400, 401]).toContain(bare.status);
  }
});

test('the list of queues has the message counts of each', async () => {
  await kill(2);
  expect((await sendRequest('GET', '')).body).toEqual({
    queues: [
      { queue: 'test.inbox', ready: 0, dead: 2 },
      { queue: 'test.fenced', ready: 0, dead: 2 },
    ],
  });
});

test('the list of dead letters is paged, has no bodies, and says what was applied where that is known', async () => {
  const [first = '', ...others] = (await kill(3)).toSorted();
  applied = new Set([first]);
  const page = await sendRequest<DeadLetterPage>('GET', '/test.inbox?limit=2');
  expect(page.status).toBe(200);
  expect(page.body.items.map(({ id, alreadyApplied }) => [id, alreadyApplied])).toEqual([
    [first, true],
    [others[0] ?? '', false],
  ]);
  expect(JSON.stringify(page.body)).not.toContain('10.77');
  expect([page.body.total, page.body.searched]).toEqual([3, 3]);
  const next = await sendRequest<DeadLetterPage>('GET', `/test.inbox?limit=2&cursor=${page.body.nextCursor}`);
  expect(next.body.items.map(({ id }) => id)).toEqual(others.slice(1));
  expect(next.body.nextCursor).toBeNull();
  const fenced = await sendRequest<DeadLetterPage>('GET', '/test.fenced');
  expect(fenced.body.items[0]?.alreadyApplied).toBeNull();
});

test('an event older than the retention of the inbox has an unknown alreadyApplied', async () => {
  const old = sampleTripEvent();
  const knownOld = sampleTripEvent();
  const before = createIds(createManualClock(clock.nowMs() - retentionMs - 1), systemRandom);
  Object.assign(old, { id: before() });
  Object.assign(knownOld, { id: before() });
  applied = new Set([knownOld.id]);
  await bus.publish([old, knownOld]);
  const { items } = await until(async () => {
    const { body } = await sendRequest<DeadLetterPage>('GET', '/test.inbox');
    return body.total === 2 && body;
  });
  expect(items.map(({ alreadyApplied }) => alreadyApplied)).toEqual([null, true]);
});

test('while the inbox is unavailable alreadyApplied is null and the list is still served', async () => {
  await kill(1);
  isInboxUnavailable = true;
  const { status, body } = await sendRequest<DeadLetterPage>('GET', '/test.inbox');
  expect([status, body.items[0]?.alreadyApplied]).toEqual([200, null]);
});

describe('the body of a dead letter', () => {
  test('is masked unless reveal=yes, and both accesses are logged without the content', async () => {
    const [id = ''] = await kill(1);
    const shown = await sendRequest<typeof DeadLetterDetail.static>('GET', `/test.inbox/${id}`);
    expect(shown.body).toMatchObject({ id, masked: true, body: { data: { pickup: { lat: '***' } } } });
    const revealed = await sendRequest<typeof DeadLetterDetail.static>('GET', `/test.inbox/${id}?reveal=yes`);
    expect(revealed.body).toMatchObject({ id, masked: false, body: { data: { pickup: { lat: 10.77 } } } });
    const fields = { operator, queue: 'test.inbox', count: 1, letters: [id] };
    expect(logged).toEqual([
      { level: 'info', ...fields, action: 'shown' },
      { level: 'warn', ...fields, action: 'revealed' },
    ]);
  });
});

test('a redrive reports for each letter whether its event was already applied, and is logged', async () => {
  const [again = '', fresh = ''] = await kill(2);
  applied = new Set([again]);
  outcome = done;
  const { status, body } = await sendRequest<DeadLettersResult>('POST', '/test.inbox/redrive', { all: true });
  expect([status, body.more]).toEqual([200, false]);
  expect(body.items.map(({ id, outcome, alreadyApplied }) => [id, outcome, alreadyApplied])).toEqual([
    [again, 'redriven', true],
    [fresh, 'redriven', false],
  ]);
  expect((await bus.queueCounts('test.inbox')).dead).toBe(0);
  expect(logged).toMatchObject([{ level: 'warn', operator, action: 'redriven', letters: [again, fresh] }]);
});

test('redrive and drop act on the selected letters and reject an empty selection', async () => {
  const [one = '', two = '', three = ''] = await kill(3);
  for (const body of [{}, { limit: 5 }, { ids: [] }, { all: false }, { ids: ['x'] }, { everything: true }])
    expect([body, (await sendRequest('POST', '/test.inbox/drop', body)).status]).toEqual([body, 400]);
  expect((await sendRequest('DELETE', `/test.inbox/${one}`)).status).toBe(204);
  expect((await sendRequest('DELETE', `/test.inbox/${one}`)).status).toBe(404);
  outcome = done;
  const redriven = await sendRequest<DeadLettersResult>('POST', '/test.inbox/redrive', { ids: [three] });
  expect(redriven.body.items.map(({ id }) => id)).toEqual([three]);
  const dropped = await sendRequest<DeadLettersResult>('POST', '/test.inbox/drop', {
    reason: 'NO',
    limit: 10,
  });
  expect(dropped.body).toMatchObject({ items: [{ id: two, outcome: 'dropped' }], more: false });
  expect(logged.map(({ action }) => action)).toEqual(['dropped', 'redriven', 'dropped']);
});

test('a queue of another context or a letter that does not exist is 404', async () => {
  expect((await sendRequest('GET', '/payment.trips')).status).toBe(404);
  expect((await sendRequest('POST', '/payment.trips/redrive', { all: true })).status).toBe(404);
  expect((await sendRequest('GET', `/test.inbox/${ids()}`)).status).toBe(404);
  expect((await sendRequest('GET', '/test.inbox?cursor=x')).status).toBe(400);
});
