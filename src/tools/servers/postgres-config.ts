const connectionsMax = 400;
/** How far a replica may fall behind before the primary forgets what it needs. */
const walKeptMegabytes = 1024;

export type PostgresSettings = {
  readonly port: number;
  readonly ephemeral: boolean;
  /** For a replica: where its primary is. */
  readonly primary:
    | { readonly port: number; readonly user: string; readonly passwordFile: string }
    | undefined;
};

/** Our part of the configuration: written anew at each start, so ports and profile may change. */
export const renderPostgresConfig = (settings: PostgresSettings): string =>
  [
    ...shared(settings.port),
    ...(settings.ephemeral ? ephemeral : durable),
    ...(settings.primary === undefined ? [] : streaming(settings.primary)),
    '',
  ].join('\n');

const shared = (port: number): string[] => [
  `port = ${port}`,
  "listen_addresses = '127.0.0.1'",
  // A socket's path may hold 107 bytes: too few for a data folder deep in somebody's home.
  "unix_socket_directories = ''",
  `max_connections = ${connectionsMax}`,
  'password_encryption = scram-sha-256',
  "timezone = 'UTC'",
  "log_timezone = 'UTC'",
  "log_line_prefix = '%m [%p] %d '",
  'wal_level = replica',
  // initdb's own value: a standby refuses less than what its copy of the primary was made with.
  'max_wal_senders = 10',
  `wal_keep_size = ${walKeptMegabytes}MB`,
  'hot_standby = on',
  // Else vacuum on the primary cancels a long read on the replica.
  'hot_standby_feedback = on',
  // A replica notices a new primary (restarted, rebuilt) within a second instead of five.
  'wal_retrieve_retry_interval = 500ms',
  "shared_buffers = '128MB'",
  'jit = off',
];

/**
 * Outboxes turn over completely within minutes, and inboxes only grow. By default a vacuum comes once a minute
 * and a checkpoint with every GB of WAL: at 5,500 events a second the first made events wait for 100 to 350 ms
 * for six seconds of each minute, the second for half a second. Small vacuums every 15 s are not noticed.
 */
const durable = [
  'fsync = on',
  'synchronous_commit = on',
  'full_page_writes = on',
  "max_wal_size = '4GB'",
  "checkpoint_timeout = '15min'",
  'wal_compression = on',
  "autovacuum_naptime = '15s'",
];

/** Loses everything when the machine dies, which for a throwaway database is no loss. */
const ephemeral = [
  'fsync = off',
  // Without fsync a synchronous commit costs one write call; an asynchronous one would leave the
  // replica up to wal_writer_delay (200 ms) behind, since only flushed WAL is sent to it.
  'synchronous_commit = on',
  'full_page_writes = off',
  "max_wal_size = '4GB'",
  "checkpoint_timeout = '30min'",
];

const streaming = (primary: NonNullable<PostgresSettings['primary']>): string[] => [
  `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=${primary.user} passfile=''${primary.passwordFile}'' application_name=replica'`,
];
