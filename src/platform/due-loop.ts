import type { Clock } from '@platform/clock.ts';
import { createLoop, type Loop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';

export interface DueLoopOptions<Item> {
  name: string;
  clock: Clock;
  log: Log;
  /** How soon an item is found that no `nudge` told of. */
  idleMs: number;
  inFlightMax: number;
  /** Takes at most `limit` due items for this process. */
  claimDue: (limit: number) => Promise<Item[]>;
  run: (item: Item) => Promise<void>;
}

/**
 * Runs what durable timers have made due, `inFlightMax` at a time: a slow item holds one place, not
 * the loop. An item that fails is logged and comes back when its lease ends.
 */
export function createDueLoop<Item>(options: DueLoopOptions<Item>): Loop {
  const { name, clock, log, idleMs, inFlightMax, claimDue, run } = options;
  const underWay = new Set<Promise<void>>();
  const loop = createLoop({ name, clock, log, idleMs, step });

  async function step(signal: AbortSignal): Promise<boolean> {
    const free = inFlightMax - underWay.size;
    if (free === 0 || signal.aborted) return false;
    const items = await claimDue(free);
    for (const item of items) begin(item);
    return items.length > 0;
  }

  function begin(item: Item): void {
    const running = run(item)
      .catch((error: unknown) =>
        log.warn({ loop: name, err: error }, 'an item failed; its timer brings it back'),
      )
      .finally(() => {
        const wasFull = underWay.size === inFlightMax;
        underWay.delete(running);
        if (wasFull) loop.wake();
      });
    underWay.add(running);
  }

  return {
    ...loop,
    async stop() {
      await loop.stop();
      await Promise.all(underWay);
    },
  };
}
