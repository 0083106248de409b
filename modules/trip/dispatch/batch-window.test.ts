import { describe, expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createBatchWindow } from './batch-window.ts';

function gatherer(windowMs: number, sizeMax = 3) {
  const clock = createManualClock(0);
  const ran: { items: string[]; atMs: number }[] = [];
  const gather = createBatchWindow<string>({
    clock,
    windowMs,
    sizeMax,
    run: async (items) => void ran.push({ items, atMs: clock.nowMs() }),
  });
  return { clock, ran, gather };
}

describe('a batch window', () => {
  test('of 0 ms runs each item at once', async () => {
    const { ran, gather } = gatherer(0);
    await Promise.all([gather('a'), gather('b')]);
    expect(ran.map(({ items }) => items)).toEqual([['a'], ['b']]);
  });

  test('runs the items that arrived within its time, counted from the first one, as one batch', async () => {
    const { clock, ran, gather } = gatherer(500);
    const first = gather('a');
    await clock.advance(400);
    const second = gather('b');
    await clock.advance(99);
    expect(ran).toEqual([]);
    await clock.advance(1);
    await Promise.all([first, second]);
    expect(ran).toEqual([{ items: ['a', 'b'], atMs: 500 }]);
  });

  test('that is full runs at once, and the next item opens another', async () => {
    const { clock, ran, gather } = gatherer(500);
    await Promise.all([gather('a'), gather('b'), gather('c')]);
    const next = gather('d');
    await clock.advance(500);
    await next;
    expect(ran).toEqual([
      { items: ['a', 'b', 'c'], atMs: 0 },
      { items: ['d'], atMs: 500 },
    ]);
  });
});
