import { awaitReady, type ManagedProcess, type ProcessSpec, startProcess } from './servers/process.ts';
import type { ReportProgress } from './servers/types.ts';

/** A service that shall always run. */
export interface ServiceSpec {
  name: string;
  command: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  logFile: string;
  /** Answers 200 once the service may take traffic. */
  readyUrl: string;
}

export interface SupervisedService {
  name: string;
  url: string;
  /** Of the process that runs now; undefined while it is being started again. */
  pid(): number | undefined;
  /** It runs and has said that it may take traffic. */
  isReady(): boolean;
  restarts(): number;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const pauseMsMin = 100;
const pauseMsMax = 5_000;
/** A process that lived this long was well: its next restart is at once again. */
const healthyMs = 30_000;

/**
 * Starts a service and resolves when it is ready; from then on a process that ends is started again,
 * at once at first, then with pauses that double. Rejects with the end of its log when the very first
 * start fails.
 */
export async function supervise(service: ServiceSpec, report: ReportProgress): Promise<SupervisedService> {
  const spec: ProcessSpec = { ...service, account: undefined, stopSignal: 'SIGTERM', stopTimeoutMs };
  let current: ManagedProcess | undefined;
  let ready = false;
  let restarts = 0;
  let stopping = false;

  const launch = async () => {
    const started = startProcess(spec);
    current = started;
    await awaitReady(spec, started, readyTimeoutMs, () => answersOk(service.readyUrl));
    ready = true;
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
      ready = false;
      if (stopping) return;
      if (performance.now() - startedAtMs > healthyMs) pauseMs = pauseMsMin;
      report(`${service.name} ended (${code ?? 'not ready'}); starting it again`);
      await Bun.sleep(pauseMs);
      if (stopping) return;
      pauseMs = Math.min(pauseMsMax, pauseMs * 2);
      restarts++;
      startedAtMs = performance.now();
      running = await launch().catch((error: unknown) => {
        report(`${service.name} did not come back: ${error instanceof Error ? error.message : error}`);
        return undefined;
      });
    }
  }

  return {
    name: service.name,
    url: new URL(service.readyUrl).origin,
    pid: () => current?.pid,
    isReady: () => ready,
    restarts: () => restarts,
    signal: (signal) => current?.signal(signal),
    async stop() {
      stopping = true;
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
