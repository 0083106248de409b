import { connect as connectSocket, type Socket } from 'node:net';
import postgres from 'postgres';
import { type Clock, systemClock } from '../clock.ts';
import type { Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { instrumentSql } from './instrument.ts';
import type { ReadConsistencyToken } from './read-consistency.ts';
import { createReplicaReads, replicaLimitsDefault } from './replica.ts';
import type { ReplicaLimits } from './replica-progress.ts';
import type { Sql } from './sql.ts';

export type { Row, Sql } from './sql.ts';

/** The PostgreSQL schema of one context. */
export interface Database {
  schema: string;
  /** For writes, and for reads on which a write depends. */
  primary: Sql;
  /**
   * Reads for display: from a replica that is new enough for `token` if there is one, otherwise from the primary.
   * Raises `token` to what was read. `query` must send all its statements at once to the `sql` that it gets, and may
   * be run twice.
   */
  read<T>(token: ReadConsistencyToken, query: (sql: Sql) => Promise<T>): Promise<T>;
  /** Raises `token` to all that is committed now. Called after a write and before its response. Never rejects. */
  raiseToCommitted(token: ReadConsistencyToken): Promise<void>;
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

/** Reads of a database without a replica. */
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
    // Reconnect soon: until then callers get 503 with Retry-After of one second.
    backoff: () => 0.25,
    connection: {
      search_path: `"${schema}"`,
      statement_timeout: statementTimeoutMs,
      application_name: `uit-go:${schema}`,
      TimeZone: 'UTC',
    },
    types: {
      // bigint columns hold milliseconds and minor units, which stay far below 2^53.
      bigint: {
        to: 20,
        from: [20],
        parse: (text: string) => Number(text),
        serialize: (value: number) => String(value),
      },
    },
    onnotice: (notice: postgres.Notice) => log.debug({ notice: notice.message }, 'postgres notice'),
    // postgres.js supports `socket`, although its types do not declare it.
  } as postgres.Options<Record<string, postgres.PostgresType>>) as unknown as Sql;
}

/**
 * postgres.js reconnects in an endless loop without a pause when a server accepts a connection and closes it before
 * sending anything, as a port forwarder in front of a stopped server does. Turning that into a socket error makes the
 * callers fail and the next attempt wait.
 */
function openSocket(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connectSocket({ host: hostname, port: Number(port || defaultPort) });
  socket.once('end', () => {
    if (socket.bytesRead > 0) return;
    socket.destroy(
      Object.assign(new Error('PostgreSQL closed the connection before sending anything'), {
        code: 'ECONNRESET',
      }),
    );
  });
  return socket;
}
