/** Where the progress of starting and stopping goes: one line of plain text at a time. */
export type ReportProgress = (line: string) => void;

export type ServerKind = 'postgres' | 'postgres-replica' | 'redis-geo' | 'redis-cache' | 'rabbitmq';

/**
 * Where a server came from: a URL that the user gave, the PostgreSQL that ships as an npm package,
 * a container, or a program installed on this machine.
 */
export type ServerOrigin = 'given' | 'embedded' | 'docker' | 'path';

export type RunningServer = {
  readonly kind: ServerKind;
  readonly origin: ServerOrigin;
  /** With credentials; stays the same over `restart()`. */
  readonly url: string;
  /** Undefined for a server that was given by URL. */
  readonly logFile: string | undefined;
  /** Every process of the server that lives now; empty when it is down, given, or in a container. */
  pids(): number[];
  /** Graceful, then SIGKILL after the server's bound; may be called again. */
  stop(): Promise<void>;
  /** SIGKILL, SIGSTOP and SIGCONT reach every process of the server, other signals the main one. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts a stopped or killed server again on the same port and data. */
  restart(): Promise<void>;
  /**
   * Runs a command of the server's own administration tool (`rabbitmqctl <command>`) and resolves with
   * what it printed. Undefined for a server without one, or not ours.
   */
  readonly runAdminCommand?: ((command: readonly string[]) => Promise<string>) | undefined;
};

export type ServerErrorCode =
  /** A program is neither given, nor installed, nor installable here. */
  | 'server.missing'
  /** The wanted port belongs to another program. */
  | 'server.port_taken'
  /** The data folder belongs to a server that runs. */
  | 'server.in_use'
  /** The server ended before it was ready. */
  | 'server.exited'
  /** The server did not answer in time. */
  | 'server.not_ready'
  /** The caller's signal was aborted before the server was ready. */
  | 'server.interrupted'
  /** The server's administration tool failed. */
  | 'server.refused'
  /** A server given by URL was asked for something only its owner can do. */
  | 'server.not_ours';

export class ServerError extends Error {
  readonly code: ServerErrorCode;

  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ServerError';
    this.code = code;
  }
}
