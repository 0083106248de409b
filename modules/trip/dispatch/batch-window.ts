import type { Clock } from '@platform/clock.ts';

export interface BatchWindowOptions<Item> {
  clock: Clock;
  windowMs: number;
  /** A window with this many items closes at once. */
  sizeMax: number;
  run: (items: Item[]) => Promise<void>;
}

/** Collects items for `windowMs` after the first one, then runs them as one batch. Resolves when the batch has run. */
export function createBatchWindow<Item>({ clock, windowMs, sizeMax, run }: BatchWindowOptions<Item>) {
  let current: { items: Item[]; closing: AbortController; done: Promise<void> } | undefined;

  return (item: Item): Promise<void> => {
    if (windowMs === 0) return run([item]);
    const window = current ?? openWindow();
    window.items.push(item);
    if (window.items.length === sizeMax) {
      current = undefined;
      window.closing.abort();
    }
    return window.done;
  };

  function openWindow() {
    const items: Item[] = [];
    const closing = new AbortController();
    const done = clock.sleep(windowMs, closing.signal).then(() => {
      if (current?.items === items) current = undefined;
      return run(items);
    });
    current = { items, closing, done };
    return current;
  }
}
