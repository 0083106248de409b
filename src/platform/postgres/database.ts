import { connect as connectSocket, type Socket } from 'node:net';
import postgres from 'postgres';
import type { Log } from '../log.ts';

export type Sql = postgres.Sql;
export type Row = postgres.Row;

/** A context's own schema in PostgreSQL: the primary for writes and for reads that must be fresh, a replica for the rest. */
export interface Database {
  schema: string;
  primary: Sql;
  /** Reads that may be a moment old. The primary itself where no replica is configured. */
  replica: Sql;
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
  log: Log;
}

const defaultPort = 5432;
const connectTimeoutSeconds = 3;
const lifetimeSeconds = 30 * 60;

export function createDatabase(options: DatabaseOptions): Database {
  const primary = connect(options.url, options);
  const replica = options.replicaUrl === undefined ? primary : connect(options.replicaUrl, options);
  return {
    schema: options.schema,
    primary,
    replica,
    async ping() {
      await primary`select 1`;
    },
    async close() {
      await Promise.all([...new Set([primary, replica])].map((sql) => sql.end({ timeout: 5 })));
    },
  };
}

function connect(url: string, { schema, poolMax, statementTimeoutMs, log }: DatabaseOptions): Sql {
  const options = {
    socket: () => openSocket(url),
    max: poolMax,
    connect_timeout: connectTimeoutSeconds,
    max_lifetime: lifetimeSeconds,
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
  };
  return postgres(url, options);
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
