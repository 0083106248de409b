import { expect, test } from 'bun:test';
import { until } from './until.ts';

test('until returns the first value that is not false, null or undefined', async () => {
  const values = [false, null, undefined, 0];
  expect(await until(() => values.shift())).toBe(0);
});

test('until polls again after a condition that throws', async () => {
  let calls = 0;
  const value = await until(() => {
    calls += 1;
    if (calls < 3) throw new Error('not yet');
    return 'there';
  });
  expect(value).toBe('there');
});

test('a condition that is never met fails with its description and last value', async () => {
  const waiting = until(() => null, { timeoutMs: 30, describe: 'the trip to be assigned' });
  await expect(waiting).rejects.toThrow('waited 30 ms for the trip to be assigned; last: null');
});

test('a condition that only throws fails with its last error', async () => {
  const waiting = until(() => Promise.reject(new Error('connection refused')), { timeoutMs: 30 });
  await expect(waiting).rejects.toThrow('last: threw Error: connection refused');
});

test('a condition without a description fails with its source and the actual state', async () => {
  const letters = ['a'];
  const waiting = until(() => letters.length === 2, { timeoutMs: 30, actual: () => letters });
  await expect(waiting).rejects.toThrow(
    'waited 30 ms for letters.length === 2; last: false; actual: [ "a" ]',
  );
});

test('the stack of a failure names the waiting line', async () => {
  const failure = await until(() => false, { timeoutMs: 1 }).catch((error: unknown) => error);
  expect(String(failure instanceof Error ? failure.stack : '')).toContain('until.test.ts');
});
