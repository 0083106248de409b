import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';

/** Whose doing an event is: what a crash throws away together and a pause holds up together. */
export interface Scope {
  readonly name: string;
  state: 'live' | 'paused' | 'dead';
  /** Events that came due while it was paused, in order. */
  deferred: Due[];
}

interface Due {
  atMs: number;
  /** Of two events at one time, the one that was asked for first goes first. */
  order: number;
  scope: Scope;
  act: () => void | Promise<void>;
  cancelled: boolean;
}

export interface Scheduler {
  /** Unix milliseconds of the simulated time, whole. */
  nowMs(): number;
  createScope(name: string): Scope;
  /** Runs `act` in `delayMs`, alone, unless the scope is dead by then. Returns the way to call it off. */
  schedule(delayMs: number, scope: Scope, act: () => void | Promise<void>): () => void;
  /** A delay between the two, by the seed. */
  randomBetween(leastMs: number, mostMs: number): number;
  createClock(scope: Scope): Clock;
  pause(scope: Scope): void;
  resume(scope: Scope): void;
  kill(scope: Scope): void;
  /** Runs event after event until `isOver` says so (asked after each), or `limitMs` of simulated time have passed. */
  run(limitMs: number, isOver: () => boolean): Promise<'over' | 'late'>;
  /** A line of the trace, at the present time. */
  recordTrace(line: string): void;
  trace: readonly string[];
  /** Events that ran. */
  stepCount(): number;
}

/**
 * Idle polls only find what no nudge told of, so the simulation makes them rare: sleeps of the loops'
 * usual poll intervals last so many times longer. All other delays are as the code asks.
 */
const pollMs = { least: 90, most: 250 };
const pollStretch = 30;

/** So many rounds of the event loop bring everything that needs no simulated event to its rest. */
const settlingRounds = 3;

/**
 * A discrete-event simulation: simulated time stands still while an event runs, and only when all that
 * follows from it without another event has come to rest is the next one taken. Real I/O (SQL) happens
 * inside of an event and is awaited there, so the order of everything is the order of the events: the
 * same seed gives the same run.
 */
export function createScheduler(startMs: number, random: Random): Scheduler {
  let timeMs = startMs;
  let ordered = 0;
  let ran = 0;
  const queue: Due[] = [];
  const trace: string[] = [];

  function schedule(delayMs: number, scope: Scope, act: Due['act']) {
    const due: Due = { atMs: timeMs + Math.max(0, delayMs), order: ordered++, scope, act, cancelled: false };
    insert(queue, due);
    return () => {
      due.cancelled = true;
    };
  }

  async function perform(due: Due): Promise<void> {
    if (due.cancelled || due.scope.state === 'dead') return;
    if (due.scope.state === 'paused') {
      due.scope.deferred.push(due);
      return;
    }
    ran++;
    await due.act();
    for (let round = 0; round < settlingRounds; round++)
      await new Promise<void>((resolve) => setImmediate(resolve));
  }

  return {
    nowMs: () => Math.floor(timeMs),
    createScope: (name) => ({ name, state: 'live', deferred: [] }),
    schedule,
    randomBetween: (leastMs, mostMs) => leastMs + random.next() * (mostMs - leastMs),
    createClock: (scope) => ({
      nowMs: () => Math.floor(timeMs),
      sleep(ms, signal) {
        if (signal?.aborted) return Promise.resolve();
        const isPoll = ms >= pollMs.least && ms <= pollMs.most;
        return new Promise((resolve) => {
          const wake = () => {
            signal?.removeEventListener('abort', cut);
            resolve();
          };
          const callOff = schedule(isPoll ? ms * pollStretch : ms, scope, wake);
          function cut() {
            callOff();
            resolve();
          }
          signal?.addEventListener('abort', cut, { once: true });
        });
      },
    }),
    pause(scope) {
      if (scope.state === 'live') scope.state = 'paused';
    },
    resume(scope) {
      if (scope.state !== 'paused') return;
      scope.state = 'live';
      for (const { act } of scope.deferred.splice(0)) schedule(0, scope, act);
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
        await perform(next);
      }
      return 'over';
    },
    recordTrace: (line) => trace.push(`${((timeMs - startMs) / 1000).toFixed(3).padStart(8)} ${line}`),
    trace,
    stepCount: () => ran,
  };
}

/** Keeps the queue in the order of time, then of asking. */
function insert(queue: Due[], due: Due): void {
  let low = 0;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = queue[middle];
    if (other !== undefined && other.atMs <= due.atMs) low = middle + 1;
    else high = middle;
  }
  queue.splice(low, 0, due);
}
