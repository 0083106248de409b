/** Receives progress messages of starting and stopping, one line of plain text each. */
export type ReportProgress = (line: string) => void;

export type ServerKind = 'postgres' | 'postgres-replica' | 'redis-geo' | 'redis-cache' | 'rabbitmq';

/**
 * The origin of a server: a URL from the user, the PostgreSQL of an npm package, a container, or a program installed
 * on this machine.
 */
export type ServerOrigin = 'given' | 'embedded' | 'docker' | 'path';

export type RunningServer = {
  readonly kind: ServerKind;
  readonly origin: ServerOrigin;
  /** The URL with credentials; it stays the same after `restart()`. */
  readonly url: string;
  /** Undefined for an external server. */
  readonly logFile: string | undefined;
  /** All running processes of the server; empty if it is stopped, external or in a container. */
  pids(): number[];
  /** Stops gracefully, then with SIGKILL after the server's timeout; may be called again. */
  stop(): Promise<void>;
  /** SIGKILL, SIGSTOP and SIGCONT are sent to every process of the server, other signals to the main one. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Restarts a stopped or killed server on the same port and data. */
  restart(): Promise<void>;
  /**
   * Runs a command of the server's administration tool (`rabbitmqctl <command>`) and resolves to its output. Undefined
   * for servers without such a tool and for external servers.
   */
  readonly runAdminCommand?: ((command: readonly string[]) => Promise<string>) | undefined;
};

export type ServerErrorCode =
  /** A program is not installed and can not be installed here. */
  | 'server.missing'
  /** The requested port is in use by another program. */
  | 'server.port_taken'
  /** The data folder is in use by a running server. */
  | 'server.in_use'
  /** The server exited before it was ready. */
  | 'server.exited'
  /** The server was not ready in time. */
  | 'server.not_ready'
  /** The caller aborted before the server was ready. */
  | 'server.interrupted'
  /** The server's administration tool failed. */
  | 'server.refused'
  /** An operation is not possible on an external server. */
  | 'server.not_ours';

export class ServerError extends Error {
  readonly code: ServerErrorCode;

  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ServerError';
    this.code = code;
  }
}
