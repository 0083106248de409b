import type { Clock } from '@platform/clock.ts';

export interface BatchWindowOptions<Item> {
  clock: Clock;
  windowMs: number;
  /** A window that holds this many runs at once. */
  sizeMax: number;
  run: (items: Item[]) => Promise<void>;
}

/** Gathers items for `windowMs` from the first one on, then runs them together. Resolves when they ran. */
export function createBatchWindow<Item>({ clock, windowMs, sizeMax, run }: BatchWindowOptions<Item>) {
  let open: { items: Item[]; full: AbortController; ran: Promise<void> } | undefined;

  return (item: Item): Promise<void> => {
    if (windowMs === 0) return run([item]);
    const window = open ?? begin();
    window.items.push(item);
    if (window.items.length === sizeMax) {
      open = undefined;
      window.full.abort();
    }
    return window.ran;
  };

  function begin() {
    const items: Item[] = [];
    const full = new AbortController();
    const ran = clock.sleep(windowMs, full.signal).then(() => {
      if (open?.items === items) open = undefined;
      return run(items);
    });
    open = { items, full, ran };
    return open;
  }
}
