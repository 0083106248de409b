import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import { publicUndocumented } from '../auth/route-access.ts';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { readJson, rejectUnreadableValues } from './body.ts';
import { createRequestLifecycle, readRequestId } from './request-lifecycle.ts';

export interface HttpAppOptions {
  service: string;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** True while the process may take traffic: after it has started and before it shuts down. */
  isAccepting: () => boolean;
  /** Named probes of what the process needs to serve; each rejects when its dependency is unavailable. */
  readinessChecks: Record<string, () => Promise<unknown>>;
  /** Writes one log line for each request at level info. Errors are always logged. */
  accessLog: boolean;
  bodyBytesMax: number;
}

/**
 * The Elysia app that every process starts from. It handles the request id, deadline, body limit, problem
 * details and access log, and has the operational routes. Plugins of the contexts are mounted with `.use`.
 */
export function createHttpApp(options: HttpAppOptions) {
  const { service, clock, ids } = options;
  const lifecycle = createRequestLifecycle(options);
  const startedAtMs = new WeakMap<Request, number>();

  return new Elysia({ name: `http:${service}`, normalize: false, handler: { standardHostname: false } })
    .onRequest(({ request, set }) => {
      startedAtMs.set(request, clock.nowMs());
      set.headers[headers.requestId] = readRequestId(request) ?? ids();
      lifecycle.checkHead(request);
    })
    .onParse({ as: 'global' }, ({ request }) => readJson(request))
    .onTransform({ as: 'global' }, ({ body }) => rejectUnreadableValues(body))
    .onError({ as: 'global' }, ({ error, request, set }) =>
      lifecycle.respondToError(error, request, requestIdOf(set.headers)),
    )
    .onAfterResponse({ as: 'global' }, ({ request, set, response, route }) => {
      const requestStartedAtMs = startedAtMs.get(request);
      if (requestStartedAtMs === undefined) return;
      const status = response instanceof Response ? response.status : Number(set.status ?? 200);
      const durationMs = clock.nowMs() - requestStartedAtMs;
      lifecycle.recordDuration(route ?? '', status, durationMs);
      if (options.accessLog) lifecycle.logRequest(request, requestIdOf(set.headers), status, durationMs);
    })
    .use(createOperationalRoutes(options));
}

/** `/healthz` (the process is alive), `/readyz` (it may take traffic, with the state of each dependency) and `/metrics`. */
function createOperationalRoutes({ service, isAccepting, readinessChecks, metrics }: HttpAppOptions) {
  let runningProbe: ReturnType<typeof probeDependencies> | undefined;
  /** Concurrent callers share one probe, because each check sends a query to a store. */
  const probeOnce = () => {
    runningProbe ??= probeDependencies(readinessChecks).finally(() => {
      runningProbe = undefined;
    });
    return runningProbe;
  };
  return new Elysia({ name: `operations:${service}`, normalize: false, detail: publicUndocumented })
    .get('/healthz', ({ status }) => status(200, { status: 'alive', service }))
    .get('/readyz', async ({ status }) => {
      const parts = await probeOnce();
      const isReady = isAccepting() && Object.values(parts).every((state) => state === 'up');
      return status(isReady ? 200 : 503, { status: isReady ? 'ready' : 'not_ready', service, parts });
    })
    .get(
      '/metrics',
      () => new Response(metrics.text(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    );
}

const probeTimeoutMs = 2_000;

async function probeDependencies(
  checks: HttpAppOptions['readinessChecks'],
): Promise<Record<string, 'up' | 'down'>> {
  const names = Object.keys(checks);
  const states = await Promise.all(
    names.map(async (name) => {
      const timeout = Promise.withResolvers<'down'>();
      const timer = setTimeout(() => timeout.resolve('down'), probeTimeoutMs);
      const state = Promise.resolve(checks[name]?.()).then(
        () => 'up' as const,
        () => 'down' as const,
      );
      return Promise.race([state, timeout.promise]).finally(() => clearTimeout(timer));
    }),
  );
  return Object.fromEntries(names.map((name, index) => [name, states[index] ?? 'down']));
}

const requestIdOf = (responseHeaders: Record<string, unknown>): string | undefined => {
  const requestId = responseHeaders[headers.requestId];
  return typeof requestId === 'string' ? requestId : undefined;
};
