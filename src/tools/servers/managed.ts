import { claimFolder } from './claim.ts';
import { awaitReady, type ManagedProcess, type ProcessSpec, startProcess } from './process.ts';
import { type RunningServer, ServerError, type ServerKind, type ServerOrigin } from './types.ts';

export type ManagedServerOptions = {
  readonly kind: ServerKind;
  readonly origin: ServerOrigin;
  readonly url: string;
  /** The folder that this server claims while it runs. */
  readonly dir: string;
  readonly spec: ProcessSpec;
  readonly readyTimeoutMs: number;
  readonly isReady: (started: ManagedProcess) => Promise<boolean>;
  /** Sends a signal to a server that is not a child process (a container). */
  readonly signalServer?: (signal: NodeJS.Signals) => void;
  /** Called after the final stop, not before a restart. */
  readonly afterStop?: () => Promise<void>;
};

/** Starts one server process; resolves to its handle once it is ready. */
export const startManagedServer = async (options: ManagedServerOptions): Promise<RunningServer> => {
  const { spec } = options;
  const start = async (): Promise<ManagedProcess> => {
    const started = startProcess(spec);
    claimFolder(options.dir, started.pid);
    await awaitReady(spec, started, options.readyTimeoutMs, () => options.isReady(started));
    return started;
  };
  let current = await start();

  return {
    kind: options.kind,
    origin: options.origin,
    url: options.url,
    logFile: spec.logFile,
    pids: () => current.pids(),
    async stop() {
      options.signalServer?.('SIGCONT');
      await current.stop();
      // If the child process had to be killed, the container may still run.
      options.signalServer?.('SIGKILL');
      await options.afterStop?.();
    },
    async kill(signal) {
      if (options.signalServer === undefined) current.signal(signal);
      else options.signalServer(signal);
      if (signal === 'SIGKILL') await current.stop();
    },
    async restart() {
      await current.stop();
      current = await start();
    },
  };
};

/** The handle of an external server. */
export const createExternalServer = (kind: ServerKind, url: string): RunningServer => {
  const refuse = (): never => {
    throw new ServerError('server.not_ours', `${kind} is an external server and can not be stopped here`);
  };
  return {
    kind,
    origin: 'given',
    url,
    logFile: undefined,
    pids: () => [],
    stop: async () => undefined,
    kill: async () => refuse(),
    restart: async () => refuse(),
  };
};
