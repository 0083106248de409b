import { expect, test } from 'bun:test';
import { createRetryBudget } from './retry-budget.ts';

test('all requests in flight may be retried at once, then one in five', () => {
  const budget = createRetryBudget(10);
  const spent = (tries: number) =>
    Array.from({ length: tries }, () => budget.tryConsume()).filter(Boolean).length;
  expect(spent(100)).toBe(10);
  for (let n = 0; n < 50; n++) budget.recordRequest();
  expect(spent(100)).toBe(10);
  for (let n = 0; n < 15; n++) budget.recordRequest();
  expect(spent(100)).toBe(3);
});

test('the saved budget is bounded', () => {
  const budget = createRetryBudget(5);
  for (let n = 0; n < 1_000; n++) budget.recordRequest();
  expect(Array.from({ length: 100 }, () => budget.tryConsume()).filter(Boolean).length).toBe(5);
});
