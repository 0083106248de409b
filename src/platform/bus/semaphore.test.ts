import { expect, test } from 'bun:test';
import { createSemaphore } from './semaphore.ts';

test('so many take a place at once; the next wait, and get it in the order they came', async () => {
  const slots = createSemaphore(2);
  const took: string[] = [];
  expect([slots.acquire(), slots.acquire()]).toEqual([undefined, undefined]);
  const waiting = ['first', 'second'].map((name) => slots.acquire()?.then(() => took.push(name)));
  slots.release();
  await waiting[0];
  expect(took).toEqual(['first']);
  slots.release();
  await waiting[1];
  expect(took).toEqual(['first', 'second']);
});

test('a place that was handed on is not free as well', () => {
  const slots = createSemaphore(1);
  slots.acquire();
  void slots.acquire();
  slots.release();
  expect(slots.acquire()).toBeInstanceOf(Promise);
});
