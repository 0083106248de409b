import { expect, test } from 'bun:test';
import { createSlots } from './slots.ts';

test('so many take a place at once; the next wait, and get it in the order they came', async () => {
  const slots = createSlots(2);
  const took: string[] = [];
  expect([slots.take(), slots.take()]).toEqual([undefined, undefined]);
  const waiting = ['first', 'second'].map((name) => slots.take()?.then(() => took.push(name)));
  slots.release();
  await waiting[0];
  expect(took).toEqual(['first']);
  slots.release();
  await waiting[1];
  expect(took).toEqual(['first', 'second']);
});

test('a place that was handed on is not free as well', () => {
  const slots = createSlots(1);
  slots.take();
  void slots.take();
  slots.release();
  expect(slots.take()).toBeInstanceOf(Promise);
});
