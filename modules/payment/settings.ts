import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';
import type { FarePolicy } from './fares/final-fare.ts';

export const paymentSettings = Type.Object({
  DEFAULT_CURRENCY: setting.choice('the currency of quotes that ask for none', ['VND', 'USD'], 'VND'),
  QUOTE_SECONDS: setting.integer('seconds that a quote binds the fare', 10, 3_600, 300),
  QUOTE_RETENTION_DAYS: setting.integer('days that an expired quote can still be looked up', 1, 365, 7),
  QUOTE_DISTANCE_KM_MAX: setting.integer('the longest ride that is quoted, in km', 1, 2_000, 200),
  PAYMENT_METHODS_MAX: setting.integer('payment methods that one rider may keep', 1, 100, 20),
  COMMISSION_BASIS_POINTS: setting.basisPoints("the platform's share of a fare", 2_000, 'COMMISSION_PERCENT'),
  FARE_TOLERANCE_BASIS_POINTS: setting.basisPoints(
    'how far the way that was driven may be from the quoted one before it changes the fare',
    2_000,
    'FARE_TOLERANCE_PERCENT',
  ),
  FARE_REDUCTION_BASIS_POINTS_MAX: setting.basisPoints(
    'how much of the quoted distance a shorter way may take off',
    5_000,
    'FARE_REDUCTION_PERCENT_MAX',
  ),
  FARE_RAISE_BASIS_POINTS_MAX: setting.basisPoints(
    'how much a longer way may add to the quoted distance, 0 for never more than the quote',
    0,
    'FARE_RAISE_PERCENT_MAX',
  ),
  PAYMENT_PREFETCH: setting.integer('events of trips taken from the bus at once', 1, 1_000, 100),
  PAYMENT_CHARGES_MAX: setting.integer('charges that one instance has under way at once', 1, 256, 16),
  PAYMENT_POLL_MS: setting.integer('milliseconds between two looks for due charges', 20, 60_000, 500),
  PAYMENT_ATTEMPTS_MAX: setting.integer(
    'tries after which a charge that the provider knows nothing of is given up',
    1,
    100,
    10,
  ),
  PAYMENT_RETRY_MS: setting.integer(
    'milliseconds before the first retry; each next waits twice as long',
    10,
    60_000,
    500,
  ),
  PAYMENT_RETRY_SECONDS_MAX: setting.integer('seconds between two tries at most', 1, 3_600, 60),
  DEBT_RETRY_HOURS: setting.integer('hours between two tries to collect what a rider owes', 1, 168, 6),
  DEBT_RETRY_DAYS: setting.integer(
    'days for which a debt is tried again; after that only its rider can pay it',
    0,
    90,
    14,
  ),
  PROVIDER_TIMEOUT_MS: setting.integer(
    'milliseconds after which a call to the payment provider counts as unanswered',
    100,
    30_000,
    3_000,
  ),
});
export type PaymentSettings = Static<typeof paymentSettings>;

export const farePolicyOf = (settings: PaymentSettings): FarePolicy => ({
  toleranceBasisPoints: settings.FARE_TOLERANCE_BASIS_POINTS,
  reductionBasisPointsMax: settings.FARE_REDUCTION_BASIS_POINTS_MAX,
  raiseBasisPointsMax: settings.FARE_RAISE_BASIS_POINTS_MAX,
});

/** How debts are collected. */
export interface DebtPolicy {
  retryMs: number;
  /** How long they are tried again by themselves. */
  retryForMs: number;
}

const hourMs = 60 * 60 * 1_000;

export const debtPolicyOf = (settings: PaymentSettings): DebtPolicy => ({
  retryMs: settings.DEBT_RETRY_HOURS * hourMs,
  retryForMs: settings.DEBT_RETRY_DAYS * 24 * hourMs,
});

/** How charges are driven; times in ms. */
export interface ChargePolicy {
  providerTimeoutMs: number;
  /** How long a claimed charge is left alone: longer than all calls of a claim can take. */
  leaseMs: number;
  attemptsMax: number;
  retryMs: number;
  retryMsMax: number;
}

// A step makes at most two calls (itself, and the list), and renews the lease; a new key adds two.
const callsPerClaimMax = 4;
const leaseMarginMs = 5_000;

export const chargePolicyOf = (settings: PaymentSettings): ChargePolicy => ({
  providerTimeoutMs: settings.PROVIDER_TIMEOUT_MS,
  leaseMs: settings.PROVIDER_TIMEOUT_MS * callsPerClaimMax + leaseMarginMs,
  attemptsMax: settings.PAYMENT_ATTEMPTS_MAX,
  retryMs: settings.PAYMENT_RETRY_MS,
  retryMsMax: settings.PAYMENT_RETRY_SECONDS_MAX * 1_000,
});

/** How often the simulated provider misbehaves, for cards whose token doesn't say so itself. */
export const simulatedProviderSettings = Type.Object({
  PROVIDER_LATENCY_MS: setting.integer('milliseconds that the simulated provider takes', 0, 10_000, 0),
  PROVIDER_DECLINE_BASIS_POINTS: setting.basisPoints(
    'the share of authorisations that it declines',
    0,
    'PROVIDER_DECLINE_PERCENT',
  ),
  PROVIDER_LOST_BASIS_POINTS: setting.basisPoints(
    'the share of calls that are lost, half before it received them and half after it acted',
    0,
    'PROVIDER_LOST_PERCENT',
  ),
  PROVIDER_REPEAT_BASIS_POINTS: setting.basisPoints(
    'the share of answers that it gives twice',
    0,
    'PROVIDER_REPEAT_PERCENT',
  ),
});
export type SimulatedProviderSettings = Static<typeof simulatedProviderSettings>;
