import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'bun:test';
import { findPaymentViolations } from '@invariants/payments.ts';
import { createTestPayment, type TestPayment } from './harness.ts';

export interface UseTestPaymentOptions {
  /** Whether each test gets its own payment context, which is the default, or all tests of the file share one. */
  per?: 'test' | 'file';
  /**
   * Whether no timer of a charge may be overdue and no authorisation left open at the end of a test, by the
   * test's clock.
   */
  checksTimers?: boolean;
}

/**
 * Registers hooks that create a payment context, check its invariants after the tests, and close it. What is
 * returned stands for the context of the current test.
 */
export function useTestPayment({
  per = 'test',
  checksTimers = false,
}: UseTestPaymentOptions = {}): TestPayment {
  let current: TestPayment | undefined;
  const [before, after] = per === 'test' ? [beforeEach, afterEach] : [beforeAll, afterAll];

  function open(): TestPayment {
    if (current === undefined) throw new Error('the payment context exists only while a test runs');
    return current;
  }

  before(async () => {
    current = await createTestPayment();
  });
  after(async () => {
    const payment = open();
    current = undefined;
    const violations = await findPaymentViolations(
      payment.sql,
      checksTimers ? { nowMs: payment.clock.nowMs() } : {},
    );
    await payment.close();
    expect(violations).toEqual([]);
  });

  return new Proxy({} as TestPayment, { get: (_, name) => Reflect.get(open(), name) });
}
