import { awaitReady, type ManagedProcess, type ProcessSpec, startProcess } from '../servers/process.ts';
import type { ReportProgress } from '../servers/types.ts';

/** A service that is kept running. */
export interface ServiceSpec {
  name: string;
  command: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  logFile: string;
  /** Answers 200 once the service accepts traffic. */
  readyUrl: string;
}

export interface SupervisedService {
  name: string;
  url: string;
  /** The environment of the service's processes. */
  env: Readonly<Record<string, string>>;
  /** The id of the current process; undefined during a restart. */
  pid(): number | undefined;
  /** Whether it runs and accepts traffic. */
  isReady(): boolean;
  restarts(): number;
  signal(signal: NodeJS.Signals): void;
  /** Stops the process and starts no other until `resume`, so that another program can use its port. */
  suspend(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
}

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const pauseMsMin = 100;
const pauseMsMax = 5_000;
/** After this uptime a process counts as healthy, and its next restart has the minimum pause again. */
const healthyMs = 30_000;

/**
 * Starts a service and resolves when it is ready. A process that exits is then restarted, immediately at first and
 * with pauses that double. Rejects with the end of the log if the first start fails.
 *
 *   starting ──▶ ready ──exit──▶ pausing ──▶ starting
 *   any ──suspend──▶ suspended ──resume──▶ starting          any ──stop──▶ stopped
 */
export async function supervise(service: ServiceSpec, report: ReportProgress): Promise<SupervisedService> {
  const spec: ProcessSpec = { ...service, account: undefined, stopSignal: 'SIGTERM', stopTimeoutMs };
  let current: ManagedProcess | undefined;
  let isReady = false;
  let restarts = 0;
  let isStopping = false;
  let suspension: PromiseWithResolvers<void> | undefined;

  const launch = async () => {
    const started = startProcess(spec);
    current = started;
    await awaitReady(spec, started, readyTimeoutMs, () => answersOk(service.readyUrl));
    isReady = true;
    return started;
  };
  const first = await launch();
  const watching = watch(first);

  async function watch(process: ManagedProcess) {
    let running: ManagedProcess | undefined = process;
    let pauseMs = pauseMsMin;
    let startedAtMs = performance.now();
    for (;;) {
      const code: number | undefined = await running?.exited;
      current = undefined;
      isReady = false;
      if (isStopping) return;
      if (performance.now() - startedAtMs > healthyMs) pauseMs = pauseMsMin;
      if (suspension === undefined) {
        report(`${service.name} exited (${code ?? 'not ready'}), restarting it`);
        await Bun.sleep(pauseMs);
        pauseMs = Math.min(pauseMsMax, pauseMs * 2);
      }
      await suspension?.promise;
      if (isStopping) return;
      restarts++;
      startedAtMs = performance.now();
      running = await launch().catch((error: unknown) => {
        if (suspension === undefined)
          report(`${service.name} failed to restart: ${error instanceof Error ? error.message : error}`);
        return undefined;
      });
    }
  }

  function resume(): void {
    suspension?.resolve();
    suspension = undefined;
  }

  return {
    name: service.name,
    url: new URL(service.readyUrl).origin,
    env: service.env,
    pid: () => current?.pid,
    isReady: () => isReady,
    restarts: () => restarts,
    signal: (signal) => current?.signal(signal),
    async suspend() {
      suspension ??= Promise.withResolvers();
      await current?.stop();
    },
    resume,
    async stop() {
      isStopping = true;
      resume();
      await current?.stop();
      await watching;
    },
  };
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    return response.ok;
  } catch {
    return false;
  }
}
