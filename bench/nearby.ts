import type { PositionIndex } from '../modules/driver/positions/index.ts';
import { createRedisPositionIndex } from '../modules/driver/positions/redis.ts';
import { type Product, products } from '../src/contracts/drivers.ts';
import { distanceMetres, type LatLng } from '../src/contracts/geo.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createLog } from '../src/platform/log.ts';
import { connectRedis, type Redis, waitForRedis } from '../src/platform/redis/connection.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { openLoopBenchResult, runOpenLoopPart } from './harness/open-loop.ts';
import { type Interleaved, interleave, measure, runClosedLoop } from './harness/rounds.ts';
import { createTown, createTownDrivers, type Town, type TownDriver } from './positions/town.ts';

export const bench: Bench = {
  name: 'nearby',
  describes: 'the nearest 10 available drivers of 10k, 100k and 1M, against a sorted GEOSEARCH by radius',
  figures: [
    {
      key: 'ratio100k',
      label: 'nearest drivers of 100,000 ÷ sorted GEOSEARCH',
      unit: 'ratio',
      goal: { min: 10 },
    },
    { key: 'perSecond100k', label: 'searches among 100,000 drivers', unit: '/s' },
    { key: 'p95Ms', label: 'search among 100,000 at 1,000/s, p95', unit: 'ms', goal: { max: 2 } },
  ],
  run,
};

const sizes = { '10k': 10_000, '100k': 100_000, '1M': 1_000_000 };
const radiusMetresMax = 5_000;
const limit = 10;
// Enough that single-threaded Redis always has a next command; few enough that a search of the baseline among a
// million drivers (30 ms and more) does not time out while earlier ones are served.
const inFlight = 6;
const questions = 1_000;
const openLoopPerSecond = 1_000;
const batch = 500;
// Half an hour, because the drivers send only one position in a long run.
const freshnessMs = 1_800_000;

interface Question {
  point: LatLng;
  product: Product;
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true });
  const redis = connectRedis(servers.geoRedis?.url ?? '', 'geo', createLog('silent'));
  const pids = () => servers.geoRedis?.pids() ?? [];
  await waitForRedis(redis, 5_000);
  try {
    let result: BenchResult = {};
    for (const [name, count] of Object.entries(sizes)) {
      const found = await runSize(options, redis, pids, name, count);
      result = { ...result, ...found };
    }
    return result;
  } finally {
    redis.disconnect();
  }
}

async function runSize(
  options: BenchOptions,
  redis: Redis,
  pids: () => readonly number[],
  name: string,
  count: number,
): Promise<BenchResult> {
  await redis.flushall();
  const town = createTown(count);
  const drivers = createTownDrivers(town, count);
  const index = createIndex(redis);
  const startedMs = performance.now();
  await fillIndex(index, drivers);
  await fillBaseline(redis, drivers);
  options.reportProgress(`${name}: filled in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  const sampleQuestions = createQuestions(town);
  const recall = await measureRecall(index, redis, sampleQuestions);
  const next = (() => {
    let at = 0;
    return () =>
      sampleQuestions[at++ % sampleQuestions.length] ?? {
        point: town.randomPoint(),
        product: 'bike' as const,
      };
  })();

  const found = await interleave(
    name,
    {
      ours: (seconds) => measure(() => runClosedLoop(inFlight, seconds, () => search(index, next())), pids),
      baseline: (seconds) =>
        measure(() => runClosedLoop(inFlight, seconds, () => searchBaseline(redis, next())), pids),
    },
    options,
  );
  return {
    ...keysOf(name, found),
    ...(await latencies(options, index, name, next)),
    [`recall${name}`]: recall,
  };
}

const keysOf = (name: string, found: Interleaved): BenchResult => ({
  [`perSecond${name}`]: found.perSecond,
  [`baselinePerSecond${name}`]: found.baselinePerSecond,
  [`ratio${name}`]: found.ratio,
  [`ratioRange${name}`]: found.ratioRange,
  [`cpuMicrosPerOp${name}`]: found.cpuMicrosPerOp,
  [`redisCpuMicrosPerOp${name}`]: found.serverCpuMicrosPerOp,
  [`baselineRedisCpuMicrosPerOp${name}`]: found.baselineServerCpuMicrosPerOp,
});

/** Latencies in an open loop; those of 100k drivers become the latencies of the bench. */
async function latencies(
  options: BenchOptions,
  index: PositionIndex,
  name: string,
  next: () => Question,
): Promise<BenchResult> {
  const found = openLoopBenchResult(
    await runOpenLoopPart(options, name, {
      perSecond: openLoopPerSecond,
      seconds: Math.max(5, options.seconds),
      operate: () => search(index, next()),
    }),
  );
  return name === '100k' ? found : { [`p95Ms${name}`]: found.p95Ms };
}

const createIndex = (redis: Redis) =>
  createRedisPositionIndex({
    redis,
    prefix: 'bench:',
    shards: 1,
    clock: systemClock,
    freshnessMs,
    speedMetresPerSecondMax: 70,
    sweepEveryMs: freshnessMs,
  });

async function fillIndex(index: PositionIndex, drivers: readonly TownDriver[]): Promise<void> {
  for (let at = 0; at < drivers.length; at += batch) {
    const part = drivers.slice(at, at + batch);
    const recordedAtMs = systemClock.nowMs();
    await Promise.all([
      index.setAvailabilities(part.map((driver) => ({ ...driver, version: 1 }))),
      index.record(part.map(({ driverId, point }) => ({ driverId, point, recordedAtMs }))),
    ]);
  }
}

/** The sets of the baseline hold available drivers only, so it needs no filter. */
async function fillBaseline(redis: Redis, drivers: readonly TownDriver[]): Promise<void> {
  const available = drivers.filter(({ availability }) => availability === 'available');
  for (const product of products) {
    const part = available.filter((driver) => driver.product === product);
    for (let at = 0; at < part.length; at += batch) {
      const members = part
        .slice(at, at + batch)
        .flatMap(({ point, driverId }) => [point.lng.toFixed(9), point.lat.toFixed(9), driverId]);
      await redis.geoadd(`baseline:${product}`, ...members);
    }
  }
}

/** Searches at random places, half of them for a bike. */
const createQuestions = (town: Town): Question[] =>
  Array.from({ length: questions }, () => ({
    point: town.randomPoint(),
    product: town.random.next() < 0.5 ? 'bike' : 'car',
  }));

const search = (index: PositionIndex, question: Question) =>
  index.nearest({ ...question, limit, radiusMetresMax, excluding: [] });

const searchBaseline = (redis: Redis, { point, product }: Question) =>
  redis.geosearch(
    `baseline:${product}`,
    'FROMLONLAT',
    point.lng.toFixed(9),
    point.lat.toFixed(9),
    'BYRADIUS',
    radiusMetresMax,
    'm',
    'ASC',
    'COUNT',
    limit,
    'WITHDIST',
  );

// Redis rounds positions to half a metre, and its Earth radius is 0.03% larger.
const toleranceMetres = 3;

/** The share of the baseline's drivers for which ours found the same driver or another one at least as near. */
async function measureRecall(
  index: PositionIndex,
  redis: Redis,
  sampleQuestions: readonly Question[],
): Promise<number> {
  let expected = 0;
  let matched = 0;
  for (const question of sampleQuestions) {
    const [ours, baseline] = await Promise.all([search(index, question), searchBaseline(redis, question)]);
    const found = new Set(ours.map(({ driverId }) => driverId as string));
    const farthestMetres = ours.length < limit ? 0 : (ours.at(-1)?.distanceMetres ?? 0);
    assertOrder(question.point, ours);
    for (const [driverId, distance] of baseline as [string, string][]) {
      expected++;
      if (
        found.has(driverId) ||
        (ours.length === limit && Number(distance) > farthestMetres - toleranceMetres)
      )
        matched++;
    }
  }
  return matched / expected;
}

function assertOrder(point: LatLng, found: Awaited<ReturnType<PositionIndex['nearest']>>): void {
  let before = 0;
  for (const driver of found) {
    if (
      driver.distanceMetres < before ||
      Math.abs(distanceMetres(point, driver.point) - driver.distanceMetres) > 0.01
    )
      throw new Error('distances are not exact or not in order');
    before = driver.distanceMetres;
  }
}
