import { describe, expect, test } from 'bun:test';
import type { DriverId, PaymentId, RiderId, TripId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Charge, PaymentIntent } from './payment.ts';
import {
  decideAuthorisation,
  decideCapture,
  isAwaitingAnswer,
  nextStep,
  statusAfterDecline,
} from './state.ts';
import { type ChargeRow, parseCharge } from './store/rows.ts';

const row: ChargeRow = {
  id: '01900000-0000-7000-8000-000000000001' as PaymentId,
  tripId: '01900000-0000-7000-8000-000000000002' as TripId,
  riderId: '01900000-0000-7000-8000-000000000003' as RiderId,
  driverId: null,
  status: 'none',
  intent: 'hold',
  version: 1,
  currency: 'VND',
  amountMinor: 64_000,
  commissionMinor: 0,
  refundedMinor: 0,
  refundingMinor: 0,
  failureReason: null,
  authorisationRef: null,
  captureRef: null,
  capturedAtMs: null,
  debtSinceMs: null,
  createdAtMs: 1,
  updatedAtMs: 1,
  authoriseMinor: 64_000,
  attempt: 2,
  keyAtMs: null,
  sentAtMs: null,
  token: 'tok_visa',
  fence: 1,
  attempts: 1,
};

/** The columns that a status and an intent need. */
function columnsOf(status: PaymentStatus, intent: PaymentIntent): Partial<ChargeRow> {
  const isCaptured = status === 'captured' || status === 'refunded';
  return {
    status,
    intent,
    ...(intent === 'charge' ? { driverId: '01900000-0000-7000-8000-000000000004' as DriverId } : {}),
    ...(status === 'authorised' || isCaptured ? { authorisationRef: 'authorisation 2' } : {}),
    ...(isCaptured ? { captureRef: 'capture 2', capturedAtMs: 2 } : {}),
    ...(status === 'failed' ? { debtSinceMs: 2 } : {}),
    ...(status === 'failed' || status === 'declined' ? { failureReason: 'card_declined' } : {}),
  };
}

/** A payment in the second attempt. */
const given = (status: PaymentStatus, intent: PaymentIntent, changes: Partial<ChargeRow> = {}): Charge =>
  parseCharge({ ...row, ...columnsOf(status, intent), ...changes });

describe('the next step of a payment', () => {
  test.each([
    ['hold', 'none', 'authorise'],
    ['hold', 'authorised', 'rest'],
    ['hold', 'declined', 'rest'],
    ['charge', 'none', 'authorise'],
    ['charge', 'authorised', 'capture'],
    ['charge', 'declined', 'authorise'],
    ['charge', 'failed', 'authorise'],
    ['charge', 'captured', 'rest'],
    ['charge', 'refunded', 'rest'],
    ['void', 'none', 'look_up'],
    ['void', 'authorised', 'void'],
    ['void', 'declined', 'rest'],
    ['void', 'voided', 'rest'],
  ] as const)('with intent %s and status %s is %s', (intent, status, step) => {
    expect(nextStep(given(status, intent)).step).toBe(step);
  });

  test('is a capture again when a capture was given up', () => {
    const payment = given('failed', 'charge', { authorisationRef: 'authorisation 2' });
    expect(nextStep(payment)).toEqual({ step: 'capture', authorisationRef: 'authorisation 2' });
  });

  test('is a replacement when the final fare exceeds the authorised amount', () => {
    const payment = given('authorised', 'charge', { amountMinor: 70_000 });
    expect(nextStep(payment)).toEqual({ step: 'replace', authorisationRef: 'authorisation 2' });
  });
});

describe('an authorisation that the provider reports', () => {
  test.each([
    ['of the current attempt is accepted', given('none', 'hold'), 2, 'new', 'accept'],
    ['of the current attempt of a debt is accepted', given('failed', 'charge'), 2, 'new', 'accept'],
    ['of a trip that has ended is accepted to be voided', given('none', 'void'), 2, 'new', 'accept'],
    ['that the payment has is known', given('authorised', 'hold'), 2, 'authorisation 2', 'known'],
    ['of an older attempt is reversed', given('none', 'charge'), 1, 'old', 'reverse'],
    ['beside another one is reversed', given('authorised', 'charge'), 2, 'second', 'reverse'],
    ['of a voided payment is reversed', given('voided', 'void'), 2, 'late', 'reverse'],
    ['of a captured payment is reversed', given('captured', 'charge'), 2, 'late', 'reverse'],
  ] as const)('%s', (_, payment, attempt, ref, decision) => {
    expect(decideAuthorisation(payment, attempt, ref)).toBe(decision);
  });
});

describe('a capture that the provider reports', () => {
  test.each([
    ['of an authorised payment is accepted', given('authorised', 'charge'), 'new', 'accept'],
    ['of a debt is accepted', given('failed', 'charge'), 'new', 'accept'],
    ['that the payment has is known', given('captured', 'charge'), 'capture 2', 'known'],
    ['of a captured payment is reversed', given('captured', 'charge'), 'second', 'reverse'],
    ['of a refunded payment is reversed', given('refunded', 'charge'), 'second', 'reverse'],
    ['of a trip that was cancelled is reversed', given('none', 'void'), 'late', 'reverse'],
    ['of a voided payment is reversed', given('voided', 'void'), 'late', 'reverse'],
  ] as const)('%s', (_, payment, ref, decision) => {
    expect(decideCapture(payment, ref)).toBe(decision);
  });
});

test.each([
  ['hold', 'declined'],
  ['charge', 'failed'],
  ['void', 'voided'],
] as const)('a decline of a payment with intent %s makes it %s', (intent, status) => {
  expect(statusAfterDecline(intent)).toBe(status);
});

test('a payment awaits only the answer to the next step of its current attempt', () => {
  expect(isAwaitingAnswer(given('none', 'hold'), 'authorise', 2)).toBe(true);
  expect(isAwaitingAnswer(given('none', 'hold'), 'authorise', 1)).toBe(false);
  expect(isAwaitingAnswer(given('authorised', 'charge'), 'capture', 2)).toBe(true);
  expect(isAwaitingAnswer(given('authorised', 'hold'), 'capture', 2)).toBe(false);
});

test.each([
  ['authorised without an authorisation', 'authorised', 'hold', { authorisationRef: null }],
  ['captured without a capture', 'captured', 'charge', { captureRef: null }],
  ['failed without a debt', 'failed', 'charge', { debtSinceMs: null }],
  ['completed without a driver', 'none', 'charge', { driverId: null }],
] as const)('a row that is %s is rejected when it is parsed', (_, status, intent, changes) => {
  expect(() => given(status, intent, changes)).toThrow('has no');
});
