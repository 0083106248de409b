const connectionsMax = 400;
/** WAL that the primary keeps for a replica that falls behind. */
const walKeptMegabytes = 1024;

export type PostgresSettings = {
  readonly port: number;
  readonly ephemeral: boolean;
  /** The address of the primary, for a replica. */
  readonly primary:
    | { readonly port: number; readonly user: string; readonly passwordFile: string }
    | undefined;
};

/** The generated part of the configuration. It is written at each start, so ports and profile may change. */
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
  // A Unix socket path is limited to 107 bytes, too few for a deeply nested data folder.
  "unix_socket_directories = ''",
  `max_connections = ${connectionsMax}`,
  'password_encryption = scram-sha-256',
  "timezone = 'UTC'",
  "log_timezone = 'UTC'",
  "log_line_prefix = '%m [%p] %d '",
  'wal_level = replica',
  // The value of initdb: a standby refuses to start with less than its primary had.
  'max_wal_senders = 10',
  `wal_keep_size = ${walKeptMegabytes}MB`,
  'hot_standby = on',
  // Otherwise vacuum on the primary cancels long reads on the replica.
  'hot_standby_feedback = on',
  // A replica reconnects to a restarted primary within a second instead of five.
  'wal_retrieve_retry_interval = 500ms',
  "shared_buffers = '128MB'",
  'jit = off',
];

/**
 * Outbox rows are all replaced within minutes, and inboxes only grow. By default vacuum runs once a minute and a
 * checkpoint with every GB of WAL. At 5,500 events per second, vacuum delayed events by 100 to 350 ms for six seconds
 * of each minute, and a checkpoint by half a second. Small vacuums every 15 s have no noticeable effect.
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

/** Data is lost if the machine crashes, which is acceptable for an ephemeral database. */
const ephemeral = [
  'fsync = off',
  // Without fsync a synchronous commit costs one write call. An asynchronous commit would delay the replica by up to
  // wal_writer_delay (200 ms), since only flushed WAL is sent to it.
  'synchronous_commit = on',
  'full_page_writes = off',
  "max_wal_size = '4GB'",
  "checkpoint_timeout = '30min'",
];

const streaming = (primary: NonNullable<PostgresSettings['primary']>): string[] => [
  `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=${primary.user} passfile=''${primary.passwordFile}'' application_name=replica'`,
];
