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
  /** True while the process may take traffic (it started, and does not shut down). */
  isAccepting: () => boolean;
  /** Named probes of what the process can't work without; each rejects when its part is away. */
  readinessChecks: Record<string, () => Promise<unknown>>;
  /** One line a request at info; errors are logged always. */
  accessLog: boolean;
  bodyBytesMax: number;
}

/**
 * The Elysia app that every process starts from: request id, deadline, body limit, problem details,
 * access log, and the operational routes. Plugins of the contexts are mounted on it with `.use`.
 */
export function createHttpApp(options: HttpAppOptions) {
  const { service, clock, ids } = options;
  const requests = createRequestLifecycle(options);
  const startedMs = new WeakMap<Request, number>();

  return new Elysia({ name: `http:${service}`, normalize: false, handler: { standardHostname: false } })
    .onRequest(({ request, set }) => {
      startedMs.set(request, clock.nowMs());
      set.headers[headers.requestId] = readRequestId(request) ?? ids();
      requests.checkHead(request);
    })
    .onParse({ as: 'global' }, ({ request }) => readJson(request))
    .onTransform({ as: 'global' }, ({ body }) => rejectUnreadableValues(body))
    .onError({ as: 'global' }, ({ error, request, set }) =>
      requests.failed(error, request, requestIdOf(set.headers)),
    )
    .onAfterResponse({ as: 'global' }, ({ request, set, response, route }) => {
      const started = startedMs.get(request);
      if (started === undefined) return;
      const status = response instanceof Response ? response.status : Number(set.status ?? 200);
      const durationMs = clock.nowMs() - started;
      requests.observe(route ?? '', status, durationMs);
      if (options.accessLog) requests.tell(request, requestIdOf(set.headers), status, durationMs);
    })
    .use(operations(options));
}

/** `/healthz` (alive), `/readyz` (may take traffic, with the state of each part) and `/metrics`. */
function operations({ service, isAccepting, readinessChecks, metrics }: HttpAppOptions) {
  let probing: ReturnType<typeof probe> | undefined;
  /** One at a time, whoever asks: a check is a question to a store. */
  const probeOnce = () => {
    probing ??= probe(readinessChecks).finally(() => {
      probing = undefined;
    });
    return probing;
  };
  return new Elysia({ name: `operations:${service}`, normalize: false, detail: publicUndocumented })
    .get('/healthz', ({ status }) => status(200, { status: 'alive', service }))
    .get('/readyz', async ({ status }) => {
      const parts = await probeOnce();
      const ready = isAccepting() && Object.values(parts).every((part) => part === 'up');
      return status(ready ? 200 : 503, { status: ready ? 'ready' : 'not_ready', service, parts });
    })
    .get(
      '/metrics',
      () => new Response(metrics.text(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    );
}

const probeTimeoutMs = 2_000;

async function probe(checks: HttpAppOptions['readinessChecks']): Promise<Record<string, 'up' | 'down'>> {
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

const requestIdOf = (set: Record<string, unknown>): string | undefined => {
  const requestId = set[headers.requestId];
  return typeof requestId === 'string' ? requestId : undefined;
};
