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
  function createTestEdge() {
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
    const sendAs = (headers: Record<string, string>) => (method: string, target: string) =>
      awaitResponse(edge.handle(createServerRequest({ method, target, headers })));
    const sendAsRider = sendAs(tokens.bearer(rider, 'rider'));
    const sendAsDriver = sendAs(tokens.bearer(driver, 'driver'));
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
    return { sendAsRider, sendAsDriver, send, sendWithoutToken: sendAs({}), metrics, end: end.resolve };
  }
  const requestLists = (sendAsRider: ReturnType<typeof createTestEdge>['sendAsRider'], count: number) =>
    Array.from({ length: count }, () => sendAsRider('GET', '/v1/trips'));

  test('sheds requests that can wait with 503, a code and Retry-After, and admits a trip transition', async () => {
    const { sendAsRider, metrics, end } = createTestEdge();
    const waiting = requestLists(sendAsRider, 4);
    const shed = await sendAsRider('GET', '/v1/trips');
    expect(shed.status).toBe(503);
    expect(shed.headers.get('retry-after')).toBe('1');
    expect(await shed.json()).toMatchObject({ code: 'edge.overloaded', status: 503 });
    expect(metrics.text()).toContain('edge_shed_total{priority="4"} 1');
    const complete = sendAsRider('POST', `/v1/trips/${ids()}/complete`);
    end();
    expect((await complete).status).toBe(200);
    for (const response of await Promise.all(waiting)) expect(response.status).toBe(200);
  });

  test('sheds positions at a higher load than lists', async () => {
    const { sendAsDriver, sendAsRider, end } = createTestEdge();
    const position = () => sendAsDriver('PUT', '/v1/drivers/me/location');
    const waiting = requestLists(sendAsRider, 4);
    const admitted = [position(), position(), position()];
    expect((await position()).status).toBe(503);
    end();
    for (const response of await Promise.all([...admitted, ...waiting])) expect(response.status).toBe(200);
    expect((await position()).status).toBe(200);
  });

  test('does not count requests whose body has not arrived yet', async () => {
    const { sendAsRider, send, end } = createTestEdge();
    const body = Promise.withResolvers<string>();
    const slow = Array.from({ length: 50 }, () => send(body.promise));
    const tooSlow = send(Promise.reject(problem('request.too_slow')));
    expect((await tooSlow).status).toBe(408);
    const waiting = requestLists(sendAsRider, 4);
    end();
    for (const response of await Promise.all(waiting)) expect(response.status).toBe(200);
    body.resolve('{}');
    const statuses = (await Promise.all(slow)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
  });

  test('has free slots again when requests end, including rejected ones', async () => {
    const { sendAsRider, sendWithoutToken, end } = createTestEdge();
    for (let n = 0; n < 20; n++) {
      expect((await sendWithoutToken('GET', '/v1/trips')).status).toBe(401);
    }
    const waiting = requestLists(sendAsRider, 4);
    end();
    await Promise.all(waiting);
    expect((await sendAsRider('GET', '/v1/trips')).status).toBe(200);
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
