import { connect as connectSocket, type Socket } from 'node:net';
import postgres from 'postgres';
import { type Clock, systemClock } from '../clock.ts';
import type { Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { instrumentSql } from './instrument.ts';
import type { ReadConsistencyToken } from './read-consistency.ts';
import { createReplicaReads, type ReplicaLimits, replicaLimitsDefault } from './replica.ts';

export type Sql = postgres.Sql;
export type Row = postgres.Row;

/** A context's own schema in PostgreSQL. */
export interface Database {
  schema: string;
  /** For writes, and for reads that a write is decided on. */
  primary: Sql;
  /**
   * A read for people: at a replica where there is one that is new enough for `session`, else at the
   * primary, and what was seen is noted in `session`. `query` sends all its statements at once, to the
   * `sql` that it is given, and may be run twice.
   */
  read<T>(session: ReadConsistencyToken, query: (sql: Sql) => Promise<T>): Promise<T>;
  /** Has `session` see all that is committed by now: after a write, before its answer. Never rejects. */
  raiseToCommitted(session: ReadConsistencyToken): Promise<void>;
  /** Rejects when the primary does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  url: string;
  replicaUrl?: string | undefined;
  schema: string;
  poolMax: number;
  statementTimeoutMs: number;
  connectTimeoutSeconds?: number;
  lifetimeMinutes?: number;
  /** Statements that take longer are logged, without their parameters. */
  slowQueryMs?: number;
  replica?: ReplicaLimits;
  log: Log;
  clock?: Clock;
  metrics?: Metrics;
}

/** The reads of a database without a replica. */
export const createPrimaryReads = (primary: Sql): Pick<Database, 'read' | 'raiseToCommitted'> => ({
  read: (_, query) => query(primary),
  raiseToCommitted: async () => undefined,
});

const defaultPort = 5432;
const slowQueryMsDefault = 200;

export function createDatabase(options: DatabaseOptions): Database {
  const { url, replicaUrl, schema, log, clock = systemClock, metrics = createMetrics() } = options;
  const primary = open('primary', url);
  const replica = replicaUrl === undefined ? undefined : openReplica(replicaUrl);
  const { read, raiseToCommitted } = replica ?? createPrimaryReads(primary);
  return {
    schema,
    primary,
    read,
    raiseToCommitted,
    async ping() {
      await primary`select 1`;
    },
    async close() {
      await Promise.all([primary.end({ timeout: 5 }), replica?.close()]);
    },
  };

  function openReplica(replicaUrl: string) {
    return createReplicaReads({
      context: schema,
      primary,
      open: () => open('replica', replicaUrl),
      limits: options.replica ?? replicaLimitsDefault,
      clock,
      log,
      metrics,
    });
  }

  function open(server: 'primary' | 'replica', serverUrl: string): Sql {
    const slowMs = options.slowQueryMs ?? slowQueryMsDefault;
    return instrumentSql(connect(serverUrl, options), {
      context: schema,
      server,
      slowMs,
      clock,
      log,
      metrics,
    });
  }
}

function connect(url: string, options: DatabaseOptions): Sql {
  const { schema, poolMax, statementTimeoutMs, log } = options;
  return postgres(url, {
    socket: () => openSocket(url),
    max: poolMax,
    connect_timeout: options.connectTimeoutSeconds ?? 3,
    max_lifetime: (options.lifetimeMinutes ?? 30) * 60,
    // Reconnect soon: callers hear 503 meanwhile and are told to try again in a second.
    backoff: () => 0.25,
    connection: {
      search_path: `"${schema}"`,
      statement_timeout: statementTimeoutMs,
      application_name: `uit-go:${schema}`,
      TimeZone: 'UTC',
    },
    types: {
      // bigint columns hold milliseconds and minor units: both stay far below 2^53.
      bigint: {
        to: 20,
        from: [20],
        parse: (text: string) => Number(text),
        serialize: (value: number) => String(value),
      },
    },
    onnotice: (notice: postgres.Notice) => log.debug({ notice: notice.message }, 'postgres notice'),
    // `socket` is read by postgres.js, though its types don't know it.
  } as postgres.Options<Record<string, postgres.PostgresType>>) as unknown as Sql;
}

/**
 * postgres.js dials again without any pause, for ever, when a server accepts and hangs up before its
 * first word, as a port forwarder in front of a stopped server does. Told as an error instead, the
 * callers hear of the outage and the next attempt waits its turn.
 */
function openSocket(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connectSocket({ host: hostname, port: Number(port || defaultPort) });
  socket.once('end', () => {
    if (socket.bytesRead > 0) return;
    socket.destroy(
      Object.assign(new Error('PostgreSQL hung up before its first word'), { code: 'ECONNRESET' }),
    );
  });
  return socket;
}
