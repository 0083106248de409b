import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

/** Something that runs beside the requests: a consumer, a relay, a timer loop. */
export interface Worker {
  name: string;
  start(): Promise<void>;
  /** Ends after what is under way; nothing new is begun. */
  stop(): Promise<void>;
}

/** A loop that runs `step` again and again: at once after work was found or `nudge` was called, else after `idleMs`. */
export interface Loop extends Worker {
  wake(): void;
}

export interface LoopOptions {
  name: string;
  clock: Clock;
  log: Log;
  idleMs: number;
  /** Resolves to true when there may be more to do right now. An error is logged and waited out. */
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
        log.warn({ loop: name, err: error }, 'a step failed; the loop goes on');
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
