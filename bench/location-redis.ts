import { createIngest, type Ingest } from '../modules/driver/positions/ingest.ts';
import { createRedisPositionIndex } from '../modules/driver/positions/redis.ts';
import { offsetPoint } from '../src/contracts/geo.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createLog } from '../src/platform/log.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { connectRedis, type Redis, waitForRedis } from '../src/platform/redis/connection.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { redisBenchmark } from './harness/programs.ts';
import { interleave, type Measure, measure, runClosedLoop } from './harness/rounds.ts';
import { createRedisBenchmark } from './positions/redis-benchmark.ts';
import { createTown, createTownDrivers, type Town, type TownDriver } from './positions/town.ts';

export const bench: Bench = {
  name: 'location-redis',
  describes:
    'position updates through the ingest into Redis, against GEOADD by redis-benchmark with the same pipeline width',
  programs: [redisBenchmark],
  figures: [
    {
      key: 'ratio',
      label: 'positions into Redis ÷ GEOADD by redis-benchmark',
      unit: 'ratio',
      goal: { min: 0.7 },
    },
    { key: 'perSecond', label: 'positions into Redis', unit: '/s' },
  ],
  run,
};

const driverCount = 100_000;
/** Drivers per write, as in the settings. The baseline has as many commands in its pipeline. */
const batchMax = 500;
const updatesInFlight = 4_000;
const freshnessMs = 60_000;

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true });
  const url = servers.geoRedis?.url ?? '';
  const redis = connectRedis(url, 'geo', createLog('silent'));
  const pids = () => servers.geoRedis?.pids() ?? [];
  await waitForRedis(redis, 5_000);
  try {
    const town = createTown(1);
    const townDrivers = createTownDrivers(town, driverCount);
    const baseline = createRedisBenchmark({ url, width: batchMax, members: driverCount, pids });
    const traffic = createIngestSide(redis, townDrivers, { prefix: 'traffic:', speedMetresPerSecondMax: 70 });
    await baseline(1);
    const moveInTraffic = createTraffic(town);
    const result = await interleave(
      'city traffic',
      { ours: measureIngest(traffic.ingest, townDrivers, moveInTraffic, pids), baseline },
      options,
    );
    // Every update moves the driver to a random place, as in the baseline: no entry stays in its cell.
    const jumping = createIngestSide(redis, townDrivers, {
      prefix: 'jumping:',
      speedMetresPerSecondMax: 1e9,
    });
    options.reportProgress('with drivers at random places');
    const jumped = await interleave(
      'drivers anywhere each time',
      { ours: measureIngest(jumping.ingest, townDrivers, createJumps(town), pids), baseline },
      options,
    );
    return {
      ...result,
      pipelineWidth: batchMax,
      driversInWrite: traffic.driversInWrite(),
      perSecondJumping: jumped.perSecond,
      ratioJumping: jumped.ratio,
      ratioRangeJumping: jumped.ratioRange,
      serverCpuMicrosPerOpJumping: jumped.serverCpuMicrosPerOp,
    };
  } finally {
    redis.disconnect();
  }
}

/** The path of a position after validation: batched, written and acknowledged by Redis. */
function createIngestSide(
  redis: Redis,
  townDrivers: readonly TownDriver[],
  { prefix, speedMetresPerSecondMax }: { prefix: string; speedMetresPerSecondMax: number },
): { ingest: Ingest; driversInWrite(): number } {
  const metrics = createMetrics();
  const byId = new Map(townDrivers.map((driver) => [driver.driverId, driver]));
  const ingest = createIngest({
    index: createRedisPositionIndex({
      redis,
      prefix,
      shards: 1,
      clock: systemClock,
      freshnessMs,
      speedMetresPerSecondMax,
      sweepEveryMs: freshnessMs,
    }),
    loadAvailabilities: async (driverIds) =>
      driverIds.flatMap((driverId) => {
        const driver = byId.get(driverId);
        return driver === undefined ? [] : [{ ...driver, version: 1 }];
      }),
    clock: systemClock,
    log: createLog('silent'),
    metrics,
    windowMs: 0,
    batchMax,
    waitingMax: 20_000,
    waitMsMax: 1_000,
  });
  const readCounter = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics.text())?.[1]);
  return {
    ingest,
    driversInWrite: () =>
      Math.round(readCounter('position_drivers_written_total') / readCounter('position_writes_total')),
  };
}

/** Drivers take turns, so that no two updates of one driver are merged into one write. */
function measureIngest(
  ingest: Ingest,
  townDrivers: readonly TownDriver[],
  move: (driver: TownDriver) => TownDriver['point'],
  pids: () => readonly number[],
): Measure {
  let turn = 0;
  return (seconds) =>
    measure(
      () =>
        runClosedLoop(updatesInFlight, seconds, async () => {
          const driver = townDrivers[turn++ % townDrivers.length];
          if (driver === undefined) return;
          driver.point = move(driver);
          const stored = await ingest.submit({
            driverId: driver.driverId,
            point: driver.point,
            recordedAtMs: systemClock.nowMs(),
          });
          if (stored.kind !== 'stored') throw new Error(`the position was not stored: ${stored.kind}`);
        }),
      pids,
    );
}

const metresOfUpdate = 22;
// Generated before the measurement, because the baseline generates its positions at no cost.
const movesPrepared = 65_536;

/** Four seconds of city traffic: 22 m in a random direction. Two of five drivers wait, and their position jitters by 4 m. */
function createTraffic(town: Town): (driver: TownDriver) => TownDriver['point'] {
  const origin = { lat: 10.7769, lng: 0 };
  const moves = Array.from({ length: movesPrepared }, () => {
    const angle = town.random.next() * 2 * Math.PI;
    const { lat, lng } = offsetPoint(origin, Math.cos(angle), Math.sin(angle));
    return { lat: lat - origin.lat, lng };
  });
  let next = 0;
  return ({ driverId, point }) => {
    const isWaiting = driverId.charCodeAt(35) % 5 < 2;
    const metres = isWaiting ? 4 : metresOfUpdate;
    const move = moves[next++ % movesPrepared] ?? { lat: 0, lng: 0 };
    return { lat: point.lat + metres * move.lat, lng: point.lng + metres * move.lng };
  };
}

function createJumps(town: Town): () => TownDriver['point'] {
  const places = Array.from({ length: movesPrepared }, () => town.randomPoint());
  let next = 0;
  return () => places[next++ % movesPrepared] ?? town.randomPoint();
}
