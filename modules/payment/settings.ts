import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';
import type { FarePolicy } from './fares/final-fare.ts';

export const paymentSettings = Type.Object({
  DEFAULT_CURRENCY: setting.choice('the currency of a quote whose request names none', ['VND', 'USD'], 'VND'),
  QUOTE_SECONDS: setting.integer('seconds for which a quote is valid', 10, 3_600, 300),
  QUOTE_RETENTION_DAYS: setting.integer('days for which an expired quote is kept', 1, 365, 7),
  QUOTE_DISTANCE_KM_MAX: setting.integer('the longest ride that can be quoted, in km', 1, 2_000, 200),
  PAYMENT_METHODS_MAX: setting.integer('payment methods of one rider at most', 1, 100, 20),
  COMMISSION_BASIS_POINTS: setting.basisPoints("the platform's share of a fare", 2_000, 'COMMISSION_PERCENT'),
  FARE_TOLERANCE_BASIS_POINTS: setting.basisPoints(
    'difference between driven and quoted distance up to which the quoted fare stands',
    2_000,
    'FARE_TOLERANCE_PERCENT',
  ),
  FARE_REDUCTION_BASIS_POINTS_MAX: setting.basisPoints(
    'the largest reduction of the quoted distance when the driven distance was shorter',
    5_000,
    'FARE_REDUCTION_PERCENT_MAX',
  ),
  FARE_RAISE_BASIS_POINTS_MAX: setting.basisPoints(
    'the largest increase of the quoted distance when the driven distance was longer; 0: a fare never exceeds its quote',
    0,
    'FARE_RAISE_PERCENT_MAX',
  ),
  PAYMENT_PREFETCH: setting.integer('trip events handled at the same time', 1, 1_000, 100),
  PAYMENT_CHARGES_MAX: setting.integer('charges in flight on one instance', 1, 256, 16),
  PAYMENT_POLL_MS: setting.integer('milliseconds between two polls for due charges', 20, 60_000, 500),
  PAYMENT_ATTEMPTS_MAX: setting.integer(
    'attempts after which a charge that the provider has no record of is marked as failed',
    1,
    100,
    10,
  ),
  PAYMENT_RETRY_MS: setting.integer(
    'milliseconds before the first retry; the delay doubles with each attempt',
    10,
    60_000,
    500,
  ),
  PAYMENT_RETRY_SECONDS_MAX: setting.integer(
    'the longest delay between two attempts in seconds',
    1,
    3_600,
    60,
  ),
  DEBT_RETRY_HOURS: setting.integer('hours between two attempts to collect a debt', 1, 168, 6),
  DEBT_RETRY_DAYS: setting.integer(
    'days for which a debt is retried automatically; after that only its rider can pay it',
    0,
    90,
    14,
  ),
  PROVIDER_TIMEOUT_MS: setting.integer(
    'milliseconds after which a call to the payment provider times out',
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
  /** How long a debt is retried automatically. */
  retryForMs: number;
}

const hourMs = 60 * 60 * 1_000;

export const debtPolicyOf = (settings: PaymentSettings): DebtPolicy => ({
  retryMs: settings.DEBT_RETRY_HOURS * hourMs,
  retryForMs: settings.DEBT_RETRY_DAYS * 24 * hourMs,
});

/** How charges are attempted and retried. Times are in milliseconds. */
export interface ChargePolicy {
  providerTimeoutMs: number;
  /** The lease of a claimed charge. It is longer than all provider calls of one claim can take. */
  leaseMs: number;
  attemptsMax: number;
  retryMs: number;
  retryMsMax: number;
}

// One step makes at most two calls (the operation and the list) and renews the lease; a renewed key adds
// two.
const callsPerClaimMax = 4;
const leaseMarginMs = 5_000;

export const chargePolicyOf = (settings: PaymentSettings): ChargePolicy => ({
  providerTimeoutMs: settings.PROVIDER_TIMEOUT_MS,
  leaseMs: settings.PROVIDER_TIMEOUT_MS * callsPerClaimMax + leaseMarginMs,
  attemptsMax: settings.PAYMENT_ATTEMPTS_MAX,
  retryMs: settings.PAYMENT_RETRY_MS,
  retryMsMax: settings.PAYMENT_RETRY_SECONDS_MAX * 1_000,
});

/** How often the simulated provider misbehaves, for cards whose token does not select a behaviour. */
export const simulatedProviderSettings = Type.Object({
  PROVIDER_LATENCY_MS: setting.integer('latency of the simulated provider in milliseconds', 0, 10_000, 0),
  PROVIDER_DECLINE_BASIS_POINTS: setting.basisPoints(
    'the share of authorisations that the simulated provider declines',
    0,
    'PROVIDER_DECLINE_PERCENT',
  ),
  PROVIDER_LOST_BASIS_POINTS: setting.basisPoints(
    'the share of calls to the simulated provider that get no answer, half of them before and half after it acted',
    0,
    'PROVIDER_LOST_PERCENT',
  ),
  PROVIDER_REPEAT_BASIS_POINTS: setting.basisPoints(
    'the share of answers that the simulated provider delivers twice',
    0,
    'PROVIDER_REPEAT_PERCENT',
  ),
});
export type SimulatedProviderSettings = Static<typeof simulatedProviderSettings>;
