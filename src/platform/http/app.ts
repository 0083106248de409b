import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import type { Clock } from '../clock.ts';
import { fault } from '../faults.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { problemResponse, toFault } from './problem.ts';

export interface HttpAppOptions {
  service: string;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** True while the process may take traffic (it started, and does not shut down). */
  accepting: () => boolean;
  /** Named probes of what the process can't work without; each rejects when its part is away. */
  checks: Record<string, () => Promise<unknown>>;
  /** One line a request at info; errors are logged always. */
  accessLog: boolean;
  bodyBytesMax: number;
}

/**
 * The Elysia app that every process starts from: request id, deadline, body limit, problem details,
 * access log, and the operational routes. Plugins of the contexts are mounted on it with `.use`.
 */
export function createHttpApp(options: HttpAppOptions) {
  const { service, clock, ids, log, metrics, bodyBytesMax } = options;
  const startedMs = new WeakMap<Request, number>();

  return new Elysia({ name: `http:${service}`, normalize: false, handler: { standardHostname: false } })
    .onRequest(({ request, set }) => {
      startedMs.set(request, clock.nowMs());
      set.headers[headers.requestId] = readRequestId(request) ?? ids();
      const deadline = request.headers.get(headers.deadline);
      if (deadline !== null && Number(deadline) < clock.nowMs()) throw fault('request.deadline_passed');
      if (Number(request.headers.get('content-length') ?? 0) > bodyBytesMax) throw fault('request.too_large');
    })
    .onError({ as: 'global' }, ({ error, request, set }) => {
      const shown = toFault(error);
      const requestId = set.headers[headers.requestId];
      const response = problemResponse(shown, requestId);
      const fields = { requestId, method: request.method, path: pathOf(request), code: shown.code };
      if (response.status >= 500) log.error({ ...fields, err: error }, 'request failed');
      metrics.count('http_problems_total', { service, code: shown.code });
      return response;
    })
    .onAfterResponse({ as: 'global' }, ({ request, set, response, route }) => {
      const started = startedMs.get(request);
      if (started === undefined) return;
      const status = response instanceof Response ? response.status : Number(set.status ?? 200);
      const durationMs = clock.nowMs() - started;
      metrics.observe('http_request_duration_ms', durationMs, {
        service,
        route: route ?? '',
        status: String(status),
      });
      if (!options.accessLog) return;
      const requestId = set.headers[headers.requestId];
      log.info({ requestId, method: request.method, path: pathOf(request), status, durationMs }, 'request');
    })
    .use(operations(options));
}

/** `/healthz` (alive), `/readyz` (may take traffic, with the state of each part) and `/metrics`. */
function operations({ service, accepting, checks, metrics }: HttpAppOptions) {
  return new Elysia({ name: `operations:${service}`, normalize: false, detail: { hide: true } })
    .get('/healthz', ({ status }) => status(200, { status: 'alive', service }))
    .get('/readyz', async ({ status }) => {
      const parts = await probe(checks);
      const ready = accepting() && Object.values(parts).every((part) => part === 'up');
      return status(ready ? 200 : 503, { status: ready ? 'ready' : 'not_ready', service, parts });
    })
    .get(
      '/metrics',
      () => new Response(metrics.text(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    );
}

const probeTimeoutMs = 2_000;

async function probe(checks: HttpAppOptions['checks']): Promise<Record<string, 'up' | 'down'>> {
  const names = Object.keys(checks);
  const states = await Promise.all(
    names.map(async (name) => {
      const late = Promise.withResolvers<'down'>();
      const timer = setTimeout(() => late.resolve('down'), probeTimeoutMs);
      const up = Promise.resolve(checks[name]?.()).then(
        () => 'up' as const,
        () => 'down' as const,
      );
      return Promise.race([up, late.promise]).finally(() => clearTimeout(timer));
    }),
  );
  return Object.fromEntries(names.map((name, index) => [name, states[index] ?? 'down']));
}

const requestIdPattern = /^[\w.-]{8,64}$/;
function readRequestId(request: Request): string | undefined {
  const given = request.headers.get(headers.requestId);
  return given !== null && requestIdPattern.test(given) ? given : undefined;
}

/** The path without its query, which may hold tickets and positions. */
const pathOf = (request: Request): string => new URL(request.url).pathname;
