import { describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { createManualClock, systemClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import { systemRandom } from '@platform/random.ts';
import { awaitResponse, createServerRequest } from '@testing/http1-requests.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { createEdge } from '../edge/edge.ts';
import { createMemoryLimits } from '../limits/memory.ts';
import { createEdgeRouter } from '../routing/router.ts';
import { gatewaySettings } from '../settings.ts';
import { publicTestRoute } from '../testing/routes.ts';
import { createAdmission } from './admission.ts';

const settings = loadConfig(gatewaySettings, { ADMISSION_REQUESTS_MAX: '10', ADMISSION_REQUESTS_MIN: '1' });
const clock = systemClock;
const ids = createIds(clock, systemRandom);
const tokens = createTestTokens(clock);
const rider = ids<PersonId>();
const driver = ids<PersonId>();

describe('an edge at its admission limit', () => {
  /** Creates an edge whose forwarded requests stay in flight until `end` is called. */
  function makeEdge() {
    const metrics = createMetrics();
    const end = Promise.withResolvers<void>();
    const next = async () => {
      await end.promise;
      return { status: 200, lines: '', body: 'ok' };
    };
    const router = createEdgeRouter([
      publicTestRoute('GET', '/v1/trips', { priority: 4 }),
      publicTestRoute('POST', '/v1/quotes', { owner: 'payment' }),
      publicTestRoute('PUT', '/v1/drivers/me/location', { limitClass: 'position', priority: 3 }),
      publicTestRoute('POST', '/v1/trips/:id/complete', { priority: 1 }),
    ]);
    const parts = {
      router,
      verifier: tokens.verifier,
      limits: createMemoryLimits(clock),
      log: createLog('silent'),
    };
    const edge = createEdge({ ...parts, settings, clock, ids, metrics }, http1ResponseAdapter, next, next);
    const askAs = (headers: Record<string, string>) => (method: string, target: string) =>
      awaitResponse(edge.handle(createServerRequest({ method, target, headers })));
    const ask = askAs(tokens.bearer(rider, 'rider'));
    const askAsDriver = askAs(tokens.bearer(driver, 'driver'));
    const send = (pendingBody: Promise<string>) =>
      awaitResponse(
        edge.handle(
          createServerRequest({
            method: 'POST',
            target: '/v1/quotes',
            headers: tokens.bearer(rider, 'rider'),
            body: pendingBody,
          }),
        ),
      );
    return { ask, askAsDriver, send, askAsNobody: askAs({}), metrics, end: end.resolve };
  }
  const lists = (ask: ReturnType<typeof makeEdge>['ask'], count: number) =>
    Array.from({ length: count }, () => ask('GET', '/v1/trips'));

  test('sheds requests that can wait with 503, a code and Retry-After, and admits a trip transition', async () => {
    const { ask, metrics, end } = makeEdge();
    const waiting = lists(ask, 4);
    const shed = await ask('GET', '/v1/trips');
    expect(shed.status).toBe(503);
    expect(shed.headers.get('retry-after')).toBe('1');
    expect(await shed.json()).toMatchObject({ code: 'edge.overloaded', status: 503 });
    expect(metrics.text()).toContain('edge_shed_total{priority="4"} 1');
    const complete = ask('POST', `/v1/trips/${ids()}/complete`);
    end();
    expect((await complete).status).toBe(200);
    for (const answer of await Promise.all(waiting)) expect(answer.status).toBe(200);
  });

  test('sheds positions at a higher load than lists', async () => {
    const { askAsDriver, ask, end } = makeEdge();
    const position = () => askAsDriver('PUT', '/v1/drivers/me/location');
    const waiting = lists(ask, 4);
    const admitted = [position(), position(), position()];
    expect((await position()).status).toBe(503);
    end();
    for (const answer of await Promise.all([...admitted, ...waiting])) expect(answer.status).toBe(200);
    expect((await position()).status).toBe(200);
  });

  test('does not count requests whose body has not arrived yet', async () => {
    const { ask, send, end } = makeEdge();
    const body = Promise.withResolvers<string>();
    const slow = Array.from({ length: 50 }, () => send(body.promise));
    const tooSlow = send(Promise.reject(problem('request.too_slow')));
    expect((await tooSlow).status).toBe(408);
    const waiting = lists(ask, 4);
    end();
    for (const answer of await Promise.all(waiting)) expect(answer.status).toBe(200);
    body.resolve('{}');
    const statuses = (await Promise.all(slow)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
  });

  test('has free slots again when requests end, including rejected ones', async () => {
    const { ask, askAsNobody, end } = makeEdge();
    for (let n = 0; n < 20; n++) {
      expect((await askAsNobody('GET', '/v1/trips')).status).toBe(401);
    }
    const waiting = lists(ask, 4);
    end();
    await Promise.all(waiting);
    expect((await ask('GET', '/v1/trips')).status).toBe(200);
  });
});

describe('the admission limit', () => {
  /** A clock whose timers fire late by `late.ms`. */
  function lateClock() {
    const manual = createManualClock(0);
    const late = { ms: 0 };
    return {
      late,
      advance: manual.advance,
      clock: {
        nowMs: manual.nowMs,
        sleep: (ms: number, signal?: AbortSignal) => manual.sleep(ms + late.ms, signal),
      },
    };
  }

  test('decreases while timers of the process are late, and recovers afterwards', async () => {
    const { clock: own, late, advance } = lateClock();
    const metrics = createMetrics();
    const limit = () => Number(/edge_admission_limit (\d+)/.exec(metrics.text())?.[1]);
    const wide = loadConfig(gatewaySettings, {});
    const admission = createAdmission({ settings: wide, clock: own, metrics });
    await admission.start();
    const leaves = Array.from({ length: 100 }, () => admission.admit(1, true));
    await advance(1_000);
    expect(limit()).toBe(512);
    late.ms = 200;
    await advance(2_000);
    expect(limit()).toBe(wide.ADMISSION_REQUESTS_MIN);
    for (const leave of leaves) leave?.();
    late.ms = 0;
    await advance(10_000);
    expect(limit()).toBe(512);
    await admission.stop();
  });

  test('does not decrease for one long pause, however late it makes one timer', async () => {
    const { clock: own, late, advance } = lateClock();
    const metrics = createMetrics();
    const wide = loadConfig(gatewaySettings, {});
    const admission = createAdmission({ settings: wide, clock: own, metrics });
    await admission.start();
    // Delays the first sample of a window, so that no earlier sample shows the process to be on time.
    await advance(990);
    late.ms = 500;
    await advance(10);
    late.ms = 0;
    await advance(2_000);
    expect(metrics.text()).toContain('edge_admission_limit 512');
    await admission.stop();
  });
});
