import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

/** Something that runs in the background: a consumer, a relay, a timer loop. */
export interface Worker {
  name: string;
  start(): Promise<void>;
  /** Resolves once the work in flight has finished. No new work is started. */
  stop(): Promise<void>;
}

/** Runs `step` repeatedly: at once after it found work or `wake` was called, otherwise after `idleMs`. */
export interface Loop extends Worker {
  wake(): void;
}

export interface LoopOptions {
  name: string;
  clock: Clock;
  log: Log;
  idleMs: number;
  /** Resolves to true when there may be more work right now. After an error the loop logs it and pauses. */
  step: (signal: AbortSignal) => Promise<boolean>;
}

const errorPauseMs = 500;

export function createLoop({ name, clock, log, idleMs, step }: LoopOptions): Loop {
  const stopping = new AbortController();
  let wake = new AbortController();
  let running: Promise<void> | undefined;

  async function run() {
    while (!stopping.signal.aborted) {
      wake = new AbortController();
      let pauseMs = idleMs;
      try {
        if (await step(stopping.signal)) continue;
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ loop: name, err: error }, 'loop step failed, retrying');
        pauseMs = Math.max(idleMs, errorPauseMs);
      }
      if (!stopping.signal.aborted) await clock.sleep(pauseMs, wake.signal);
    }
  }

  return {
    name,
    async start() {
      running ??= run();
    },
    async stop() {
      stopping.abort();
      wake.abort();
      await running;
    },
    wake: () => wake.abort(),
  };
}
