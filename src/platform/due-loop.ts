import type { Clock } from '@platform/clock.ts';
import { createLoop, type Loop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';

export interface DueLoopOptions<Item> {
  name: string;
  clock: Clock;
  log: Log;
  /** How often due items are looked for when nobody calls `wake`. */
  idleMs: number;
  /** The most items that run at once. */
  inFlightMax: number;
  /** Claims at most `limit` due items for this process, under a lease. */
  claimDue: (limit: number) => Promise<Item[]>;
  run: (item: Item) => Promise<void>;
}

/**
 * Runs the items that durable timers have made due, at most `inFlightMax` at once. A slow item occupies
 * one of these places and does not stop the loop. An item that fails is logged; it becomes due again
 * when its lease expires.
 */
export function createDueLoop<Item>(options: DueLoopOptions<Item>): Loop {
  const { name, clock, log, idleMs, inFlightMax, claimDue, run } = options;
  const inFlight = new Set<Promise<void>>();
  const loop = createLoop({ name, clock, log, idleMs, step });

  async function step(signal: AbortSignal): Promise<boolean> {
    const freePlaces = inFlightMax - inFlight.size;
    if (freePlaces === 0 || signal.aborted) return false;
    const items = await claimDue(freePlaces);
    for (const item of items) start(item);
    return items.length > 0;
  }

  function start(item: Item): void {
    const running = run(item)
      .catch((error: unknown) =>
        log.warn({ loop: name, err: error }, 'due item failed; its timer makes it due again'),
      )
      .finally(() => {
        const wasFull = inFlight.size === inFlightMax;
        inFlight.delete(running);
        if (wasFull) loop.wake();
      });
    inFlight.add(running);
  }

  return {
    ...loop,
    async stop() {
      await loop.stop();
      await Promise.all(inFlight);
    },
  };
}
