import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadLocalSecrets, localLimits } from '../../src/tools/local/fleet.ts';
import { supervise } from '../../src/tools/local/supervisor.ts';
import type { Servers } from '../../src/tools/servers/index.ts';
import { findFreePort } from '../../src/tools/servers/ports.ts';
import type { BenchOptions } from '../harness/bench.ts';
import { runClosedLoop } from '../harness/rounds.ts';
import { ids } from './use-case.ts';

const root = join(import.meta.dir, '../..');
const dir = join(root, '.uitgo', 'bench', 'trip-create');
const ridersOfEdge = 256;

export interface HttpLoadResult {
  perSecond: number;
  latenciesMs: number[];
}

/** Measures POST /v1/trips of the trip service alone, in its own process. */
export async function runServiceLoad(
  url: string,
  inFlight: number,
  { seconds, reportProgress }: BenchOptions,
): Promise<HttpLoadResult> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'service.ts')], {
    env: { ...process.env, DATABASE_URL: url },
    stdout: 'pipe',
    stderr: 'inherit',
  });
  try {
    const { value } = await child.stdout.getReader().read();
    const service = new TextDecoder().decode(value).trim();
    const latenciesMs: number[] = [];
    const ask = () => timed(latenciesMs, () => createTrip(service, ids(), ids()));
    reportProgress('over HTTP, trip service alone');
    await runClosedLoop(inFlight, Math.min(seconds, 2), ask);
    latenciesMs.length = 0;
    const startedMs = performance.now();
    const operations = await runClosedLoop(inFlight, seconds, ask);
    return { perSecond: operations / ((performance.now() - startedMs) / 1000), latenciesMs };
  } finally {
    child.kill();
    await child.exited;
  }
}

interface Rider {
  token: string;
  quoteId: string;
}

/**
 * Measures POST /v1/trips through the edge, with all services in one process on real servers. Riders are
 * registered once. In each round all riders get a quote, then all request a trip, then all cancel. Only
 * the trip requests are timed.
 */
export async function runEdgeLoad(
  servers: Servers,
  inFlight: number,
  { rounds, reportProgress, signal }: BenchOptions,
): Promise<HttpLoadResult> {
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  reportProgress('over HTTP, through the edge in one process');
  const system = await supervise(
    {
      name: 'all',
      command: [process.execPath, join(root, 'src/apps/all.ts')],
      cwd: root,
      env: {
        PATH: process.env.PATH ?? '',
        PORT: String(port),
        LOG_LEVEL: 'error',
        DATABASE_URL: servers.postgres?.url ?? '',
        DATABASE_POOL_MAX: '24',
        GEO_REDIS_URL: servers.geoRedis?.url ?? '',
        CACHE_REDIS_URL: servers.cacheRedis?.url ?? '',
        AMQP_URL: servers.rabbitmq?.url ?? '',
        ...loadLocalSecrets(dir),
        ...localLimits,
      },
      logFile: join(dir, 'all.log'),
      readyUrl: `${url}/readyz`,
    },
    reportProgress,
  );
  try {
    const riders = await gather(Array.from({ length: ridersOfEdge }), 4, () => signUp(url));
    const latenciesMs: number[] = [];
    const perSecond: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      signal.throwIfAborted();
      await gather(riders, 16, async (rider) => {
        rider.quoteId = await quote(url, rider.token);
      });
      if (round === 1) latenciesMs.length = 0;
      const startedMs = performance.now();
      const trips = await gather(riders, inFlight, ({ token, quoteId }) =>
        timed(latenciesMs, () => createTrip(url, token, quoteId)),
      );
      const seconds = (performance.now() - startedMs) / 1000;
      if (round > 0) perSecond.push(trips.length / seconds);
      await gather([...riders.entries()], 16, ([index, { token }]) =>
        post(url, `/v1/trips/${trips[index]}/cancel`, token, { reason: 'bench' }, 200),
      );
    }
    return { perSecond: perSecond.reduce((sum, rate) => sum + rate, 0) / perSecond.length, latenciesMs };
  } finally {
    await system.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Runs `work` on all items, at most `inFlight` at once. Returns the results in the order of the items. */
async function gather<Item, Result>(
  items: readonly Item[],
  inFlight: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items.entries()].reverse();
  const loop = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
      results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return results;
}

async function timed<Result>(latenciesMs: number[], work: () => Promise<Result>): Promise<Result> {
  const startedMs = performance.now();
  const result = await work();
  latenciesMs.push(performance.now() - startedMs);
  return result;
}

async function signUp(url: string): Promise<Rider> {
  const email = `${ids()}@bench.example`;
  const body = { email, password: 'correct horse battery', name: 'Bench', role: 'rider' };
  const { tokens } = await post(url, '/v1/auth/register', undefined, body, 201);
  await post(url, '/v1/payment-methods', tokens.accessToken, { kind: 'card', token: 'tok_visa' }, 201);
  return { token: tokens.accessToken, quoteId: '' };
}

async function quote(url: string, token: string): Promise<string> {
  const pickup = { lat: 10.7725, lng: 106.698 };
  const body = { pickup, dropoff: { lat: 10.8188, lng: 106.6519 }, product: 'car' };
  return (await post(url, '/v1/quotes', token, body, 201)).id;
}

const createTrip = async (url: string, token: string, quoteId: string): Promise<string> =>
  (await post(url, '/v1/trips', token, { quoteId }, 201)).id;

/** The fields of the responses that this bench reads. */
interface Answer {
  id: string;
  tokens: { accessToken: string };
}

async function post(
  url: string,
  path: string,
  token: string | undefined,
  body: object,
  status: number,
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  if (response.status !== status)
    throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}
