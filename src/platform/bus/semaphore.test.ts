import { expect, test } from 'bun:test';
import { createSemaphore } from './semaphore.ts';

test('as many holders as places acquire at once; later ones wait in order of arrival', async () => {
  const semaphore = createSemaphore(2);
  const acquired: string[] = [];
  expect([semaphore.acquire(), semaphore.acquire()]).toEqual([undefined, undefined]);
  const waiting = ['first', 'second'].map((name) => semaphore.acquire()?.then(() => acquired.push(name)));
  semaphore.release();
  await waiting[0];
  expect(acquired).toEqual(['first']);
  semaphore.release();
  await waiting[1];
  expect(acquired).toEqual(['first', 'second']);
});

test('a place that was passed to a waiter is not free', () => {
  const semaphore = createSemaphore(1);
  semaphore.acquire();
  void semaphore.acquire();
  semaphore.release();
  expect(semaphore.acquire()).toBeInstanceOf(Promise);
});
