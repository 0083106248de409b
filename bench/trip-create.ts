import { existsSync, readFileSync } from 'node:fs';
import { tripMigrations } from '../modules/trip/migrations/index.ts';
import { createTripStore } from '../modules/trip/store/store.ts';
import { createLog } from '../src/platform/log.ts';
import { createDatabase, type Database } from '../src/platform/postgres/database.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import type { RunningServer } from '../src/tools/servers/index.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { interleave, type Measure, type Measurement, measure, runClosedLoop } from './harness/rounds.ts';
import { percentilesOf, roundToFourDigits } from './harness/statistics.ts';
import { runEdgeLoad, runServiceLoad } from './trip-create/http.ts';
import { findPgbench, runPgbench } from './trip-create/pgbench.ts';
import { createSampleCreation } from './trip-create/sample.ts';
import { createSingleStatementScript } from './trip-create/statement.ts';
import { createTripUseCase } from './trip-create/use-case.ts';

export const bench: Bench = {
  name: 'trip-create',
  describes: 'trips created by the use case in one process, against pgbench with the statement for one trip',
  figures: [
    {
      key: 'ratio',
      label: 'trips ÷ pgbench with the single-row statement',
      unit: 'ratio',
      goal: { min: 1.0 },
    },
    { key: 'perSecond', label: 'trips, committed', unit: '/s' },
    { key: 'p95Ms', label: '64 in flight, p95', unit: 'ms' },
  ],
  run,
};

const inFlight = 64;
const idleSeconds = 2;

async function run(options: BenchOptions): Promise<BenchResult> {
  const pgbench = await findPgbench(options.reportProgress);
  const servers = await options.startServers({ postgres: true, redis: true, rabbitmq: true });
  const { postgres } = servers;
  if (postgres === undefined) throw new Error('PostgreSQL did not start');
  const database = createDatabase({
    url: postgres.url,
    schema: 'trip',
    poolMax: inFlight,
    statementTimeoutMs: 5_000,
    log: createLog('error'),
  });
  try {
    await migrate(database, tripMigrations, createLog('error'));
    const script = await createSingleStatementScript(postgres.url);
    const create = createTripUseCase(database);
    const latenciesMs: number[] = [];
    const comparison = await interleave(
      'creations',
      {
        ours: withPostgres(postgres, database, (seconds) => {
          latenciesMs.length = 0;
          return measure(() => runClosedLoop(inFlight, seconds, () => timed(latenciesMs, create)));
        }),
        baseline: withPostgres(postgres, database, (seconds) =>
          runPgbench(pgbench, {
            url: `${postgres.url}?options=-csearch_path%3Dtrip`,
            script,
            clients: inFlight,
            seconds,
          }),
        ),
      },
      options,
    );
    const idle = await idleLatencies(database, create);
    await clear(database);
    const alone = await runServiceLoad(postgres.url, inFlight, options);
    const edge = await runEdgeLoad(servers, inFlight, options);
    return {
      ...comparison,
      ...percentilesOf(latenciesMs),
      inFlight,
      ...idle,
      httpPerSecond: roundToFourDigits(alone.perSecond),
      httpP95Ms: roundToFourDigits(percentilesOf(alone.latenciesMs).p95Ms),
      edgePerSecond: roundToFourDigits(edge.perSecond),
      edgeP95Ms: roundToFourDigits(percentilesOf(edge.latenciesMs).p95Ms),
    };
  } finally {
    await database.close();
  }
}

/** Measures one call at a time: through the grouped writes, and by the statement for one trip. */
async function idleLatencies(database: Database, create: () => Promise<unknown>) {
  const store = createTripStore(database);
  const [grouped, direct]: [number[], number[]] = [[], []];
  await runClosedLoop(1, idleSeconds, async () => {
    await timed(grouped, create);
    const sample = createSampleCreation();
    await timed(direct, () => store.create(sample));
  });
  return {
    idleP50Ms: roundToFourDigits(percentilesOf(grouped).p50Ms),
    idleDirectP50Ms: roundToFourDigits(percentilesOf(direct).p50Ms),
  };
}

async function timed(latenciesMs: number[], work: () => Promise<unknown>): Promise<void> {
  const startedMs = performance.now();
  await work();
  latenciesMs.push(performance.now() - startedMs);
}

/**
 * Empties the tables before each run, and measures PostgreSQL's CPU time in addition to the caller's. This
 * includes processes that have ended, as those that served pgbench have by then.
 */
function withPostgres(server: RunningServer, database: Database, run: Measure): Measure {
  return async (seconds): Promise<Measurement> => {
    await clear(database);
    const before = cpuMicrosOf(server);
    const measured = await run(seconds);
    return { ...measured, serverCpuMicros: cpuMicrosOf(server) - before };
  };
}

async function clear({ primary: sql }: Database): Promise<void> {
  await sql`truncate trips, trip_history, outbox, idempotency`;
  await sql`checkpoint`;
}

const microsPerTick = 10_000;

/** User and system time of the server's processes and of their ended children. 0 where there is no /proc. */
function cpuMicrosOf(server: RunningServer): number {
  let ticks = 0;
  for (const pid of server.pids()) {
    const file = `/proc/${pid}/stat`;
    if (!existsSync(file)) continue;
    const stat = readFileSync(file, 'utf8');
    // The name may contain spaces. After it, fields 14 to 17 are the 12th to 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  }
  return ticks * microsPerTick;
}
