import { tripMigrations } from '../modules/trip/migrations/index.ts';
import { createTripReads } from '../modules/trip/store/reads.ts';
import type { RiderId } from '../src/contracts/ids.ts';
import { createLog } from '../src/platform/log.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { createDatabase, type Database } from '../src/platform/postgres/database.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import {
  createReadConsistencyToken,
  type ReadConsistencyToken,
} from '../src/platform/postgres/read-consistency.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { type Interleaved, interleave, type Measure, measure, runClosedLoop } from './harness/rounds.ts';

export const bench: Bench = {
  name: 'replica-reads',
  describes: "pages of a rider's trips read from the replica, against the same from the primary",
  figures: [
    { key: 'ratio', label: 'reads at the replica ÷ reads at the primary', unit: 'ratio' },
    { key: 'readsAtReplicaPercent', label: 'reads that the replica answered, percent', unit: 'count' },
  ],
  run,
};

const inFlight = 32;
const riders = 1_000;
const trips = 20_000;
const log = createLog('error');

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ postgres: true, replica: true });
  const { postgres, postgresReplica } = servers;
  if (postgres === undefined || postgresReplica === undefined) throw new Error('PostgreSQL did not start');
  const metrics = createMetrics();
  const shared = { url: postgres.url, schema: 'trip', poolMax: inFlight, statementTimeoutMs: 5_000, log };
  const primaryOnly = createDatabase(shared);
  const withReplica = createDatabase({ ...shared, replicaUrl: postgresReplica.url, metrics });
  try {
    await migrate(primaryOnly, tripMigrations, log);
    await fill(primaryOnly);
    const token = createReadConsistencyToken(true);
    await withReplica.raiseToCommitted(token);
    // Only the CPU of the primary is measured, because a replica exists to reduce it.
    const side = (work: () => Promise<unknown>): Measure => {
      return (seconds) =>
        measure(
          () => runClosedLoop(inFlight, seconds, work),
          () => postgres.pids(),
        );
    };
    const baseline = side(createReader(primaryOnly, createReadConsistencyToken));
    const copyToken = () => ({ ...token, lsnByContext: new Map(token.lsnByContext) });
    options.reportProgress('with a session token');
    const withToken = await interleave(
      'with a session token',
      { ours: side(createReader(withReplica, copyToken)), baseline },
      options,
    );
    options.reportProgress('without a token');
    const fresh = await interleave(
      'without a session token',
      { ours: side(createReader(withReplica, createReadConsistencyToken)), baseline },
      options,
    );
    options.reportProgress('recording the token of a write');
    const written = await interleave(
      'while others write',
      {
        ours: side(() =>
          write(withReplica).then(() => withReplica.raiseToCommitted(createReadConsistencyToken())),
        ),
        baseline: side(() => write(primaryOnly)),
      },
      options,
    );
    return {
      ...figuresOf(withToken),
      ...prefixed('fresh', figuresOf(fresh)),
      ...prefixed('write', figuresOf(written)),
      inFlight,
      readsAtReplicaPercent: atReplicaPercent(metrics.text()),
    };
  } finally {
    await Promise.all([primaryOnly.close(), withReplica.close()]);
  }
}

function createReader(database: Database, session: () => ReadConsistencyToken): () => Promise<unknown> {
  const reads = createTripReads(database);
  let turn = 0;
  return () => {
    const id = riderId(++turn % riders);
    return reads.list({ participant: { actor: 'rider', id }, limit: 20 }, session());
  };
}

let written = 0;
const write = ({ primary: sql }: Database) => sql`
  insert into idempotency (person_id, key, fingerprint, response, at_ms)
  values (${riderId(1)}, ${String(++written)}, '', '{}', 0)`;

const riderId = (n: number) => `00000002-0000-7000-8000-${String(n).padStart(12, '0')}` as RiderId;

async function fill({ primary: sql }: Database): Promise<void> {
  await sql`
    insert into trips (id, version, status, rider_id, driver_id, vehicle, quote_id, payment_method_id, product,
                       pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_metres, duration_seconds,
                       fare_minor, fare_currency, fare_lines, start_code, ended_by, search_until_ms,
                       created_at_ms, updated_at_ms)
    select gen_random_uuid(), 1, 'completed',
           ('00000002-0000-7000-8000-' || lpad((n % ${riders})::text, 12, '0'))::uuid, gen_random_uuid(), '{}',
           gen_random_uuid(), gen_random_uuid(), 'car', 10, 106, 10, 106, 1, 1, 1, 'VND', '[]', '0000', 'driver',
           0, n, n
    from generate_series(1, ${trips}::int) as n`;
  await sql`analyze`;
}

const figuresOf = (result: Interleaved) => ({
  perSecond: result.perSecond,
  baselinePerSecond: result.baselinePerSecond,
  ratio: result.ratio,
  primaryCpuMicrosPerOp: result.serverCpuMicrosPerOp,
  baselinePrimaryCpuMicrosPerOp: result.baselineServerCpuMicrosPerOp,
  rounds: result.rounds,
});

const prefixed = (prefix: string, figures: Record<string, number>) =>
  Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [
      `${prefix}${key[0]?.toUpperCase()}${key.slice(1)}`,
      value,
    ]),
  );

function atReplicaPercent(text: string): number {
  const counts = text.split('\n').filter((line) => line.startsWith('database_reads_total'));
  const sum = (lines: string[]) => lines.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
  return Math.round((100 * sum(counts.filter((line) => line.includes('source="replica"')))) / sum(counts));
}
