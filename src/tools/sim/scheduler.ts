import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';

/** Groups the steps of one instance or person: a crash discards them together, a pause defers them together. */
export interface Scope {
  readonly name: string;
  state: 'live' | 'paused' | 'dead';
  /** Steps that became step while the scope was paused, in order. */
  deferred: ScheduledStep[];
}

interface ScheduledStep {
  atMs: number;
  /** Of two steps at the same time, the one that was scheduled first runs first. */
  order: number;
  scope: Scope;
  run: () => void | Promise<void>;
  isCancelled: boolean;
}

export interface Scheduler {
  /** The simulated time in whole Unix milliseconds. */
  nowMs(): number;
  createScope(name: string): Scope;
  /** Runs `run` after `delayMs` as a step of its own, unless the scope is dead by then. Returns a function that cancels it. */
  schedule(delayMs: number, scope: Scope, run: () => void | Promise<void>): () => void;
  /** A delay between the two values, drawn from the seed. */
  randomBetween(minMs: number, maxMs: number): number;
  createClock(scope: Scope): Clock;
  pause(scope: Scope): void;
  resume(scope: Scope): void;
  kill(scope: Scope): void;
  /** Runs step after step until `isOver` returns true, which is called before each step, or `limitMs` of simulated time have passed. */
  run(limitMs: number, isOver: () => boolean): Promise<'over' | 'late'>;
  /** Adds a line with the present simulated time to the trace. */
  recordTrace(line: string): void;
  trace: readonly string[];
  /** The number of steps that completedSteps. */
  stepCount(): number;
}

/**
 * Idle polls only find work that no `wake` announced, so the simulation makes them rare: sleeps as long as
 * the usual poll intervals of loops are stretched by this factor. All other delays are unchanged.
 */
const pollMs = { min: 90, max: 250 };
const pollStretchFactor = 30;

/** After this many turns of the event loop everything that does not wait for a further step has finished. */
const settlingTurns = 3;

/**
 * A discrete-event simulation. Simulated time stands still while a step runs, and the next step starts only
 * after everything that the step caused without another step has finished. Real I/O (SQL) happens inside a
 * step and is awaited there, so the order of the steps determines everything: the same seed gives the same
 * run.
 */
export function createScheduler(startMs: number, random: Random): Scheduler {
  let timeMs = startMs;
  let scheduledCount = 0;
  let completedSteps = 0;
  const queue: ScheduledStep[] = [];
  const trace: string[] = [];

  function schedule(delayMs: number, scope: Scope, run: ScheduledStep['run']) {
    const step: ScheduledStep = {
      atMs: timeMs + Math.max(0, delayMs),
      order: scheduledCount++,
      scope,
      run,
      isCancelled: false,
    };
    insert(queue, step);
    return () => {
      step.isCancelled = true;
    };
  }

  async function runStep(step: ScheduledStep): Promise<void> {
    if (step.isCancelled || step.scope.state === 'dead') return;
    if (step.scope.state === 'paused') {
      step.scope.deferred.push(step);
      return;
    }
    completedSteps++;
    await step.run();
    for (let turn = 0; turn < settlingTurns; turn++)
      await new Promise<void>((resolve) => setImmediate(resolve));
  }

  return {
    nowMs: () => Math.floor(timeMs),
    createScope: (name) => ({ name, state: 'live', deferred: [] }),
    schedule,
    randomBetween: (minMs, maxMs) => minMs + random.next() * (maxMs - minMs),
    createClock: (scope) => ({
      nowMs: () => Math.floor(timeMs),
      sleep(ms, signal) {
        if (signal?.aborted) return Promise.resolve();
        const isPoll = ms >= pollMs.min && ms <= pollMs.max;
        return new Promise((resolve) => {
          const wake = () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          };
          const cancel = schedule(isPoll ? ms * pollStretchFactor : ms, scope, wake);
          function onAbort() {
            cancel();
            resolve();
          }
          signal?.addEventListener('abort', onAbort, { once: true });
        });
      },
    }),
    pause(scope) {
      if (scope.state === 'live') scope.state = 'paused';
    },
    resume(scope) {
      if (scope.state !== 'paused') return;
      scope.state = 'live';
      for (const { run } of scope.deferred.splice(0)) schedule(0, scope, run);
    },
    kill(scope) {
      scope.state = 'dead';
      scope.deferred = [];
    },
    async run(limitMs, isOver) {
      const endMs = timeMs + limitMs;
      while (!isOver()) {
        const next = queue[0];
        if (next === undefined || next.atMs > endMs) {
          timeMs = endMs;
          return 'late';
        }
        queue.shift();
        timeMs = Math.max(timeMs, next.atMs);
        await runStep(next);
      }
      return 'over';
    },
    recordTrace: (line) => trace.push(`${((timeMs - startMs) / 1000).toFixed(3).padStart(8)} ${line}`),
    trace,
    stepCount: () => completedSteps,
  };
}

/** Keeps the queue sorted by time, then by order of scheduling. */
function insert(queue: ScheduledStep[], step: ScheduledStep): void {
  let low = 0;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = queue[middle];
    if (other !== undefined && other.atMs <= step.atMs) low = middle + 1;
    else high = middle;
  }
  queue.splice(low, 0, step);
}
