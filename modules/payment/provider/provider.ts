import type { Money } from '@contracts/money.ts';

/**
 * The result of a call to the provider. `unknown`: no answer came, so the operation may or may not have
 * happened. `ref` is the reference that the provider gave to the operation.
 */
export type ProviderAnswer =
  | { kind: 'ok'; ref: string }
  | { kind: 'declined'; reason: string }
  | { kind: 'unknown' };

/** One operation that the provider lists for a reference, done or declined, with its idempotency key. */
export interface ProviderOperationRecord {
  idempotencyKey: string;
  answer: Exclude<ProviderAnswer, { kind: 'unknown' }>;
}

interface ProviderRequest {
  /**
   * A repeated key is the same operation: it happens once and gets the same answer, as long as the provider
   * remembers the key, which is 24 hours (see `providerKeyAgeMsMax`).
   */
  idempotencyKey: string;
  /** Our payment id; notices carry it too. */
  reference: string;
  amount: Money;
}
export type AuthoriseRequest = ProviderRequest & { token: string };
export type CaptureRequest = ProviderRequest & { authorisationRef: string };
export type RefundRequest = ProviderRequest & { captureRef: string };
export type VoidRequest = ProviderRequest & { authorisationRef: string };

/** A key that is older is never sent again: providers forget keys after 24 hours and would act once more. */
export const providerKeyAgeMsMax = 23 * 60 * 60 * 1_000;

/** An answer that comes outside its call, late or repeated. */
export interface ProviderNotice {
  idempotencyKey: string;
  reference: string;
  answer: ProviderAnswer;
}

/** The payment provider, which stores the cards of riders. A rejected promise counts as `unknown`. */
export interface PaymentProvider {
  /** The label of a card, or undefined when the token is unknown. */
  describeCard(token: string): Promise<{ label: string } | undefined>;
  /**
   * Authorises the amount on the card. Nothing is taken, and the authorisation expires if it is never
   * captured.
   */
  authorise(request: AuthoriseRequest): Promise<ProviderAnswer>;
  /** Captures the authorised amount or less. */
  capture(request: CaptureRequest): Promise<ProviderAnswer>;
  /** Refunds all or a part of a captured amount. */
  refund(request: RefundRequest): Promise<ProviderAnswer>;
  /** Voids an authorisation that was not captured. */
  void(request: VoidRequest): Promise<ProviderAnswer>;
  /**
   * Lists every operation of a reference, done or declined, however old. Rejects when the list cannot be
   * read.
   */
  list(reference: string): Promise<ProviderOperationRecord[]>;
  /** Registers a listener for notices. */
  onNotice(listener: (notice: ProviderNotice) => Promise<void>): void;
}

/** The reference of a step over a zero amount, which counts as done without a call to the provider. */
export const zeroAmountRef = 'nothing';

/** The operations that have an idempotency key; `reverse` undoes what no payment needs. */
const steps = ['authorise', 'capture', 'void', 'refund', 'reverse'] as const;
export type ProviderStep = (typeof steps)[number];

export interface ProviderKey {
  step: ProviderStep;
  /** The id of a payment, a refund or a reversal. */
  id: string;
  /** Starts at 1; each number is a separate operation for the provider. */
  attempt: number;
}

/** The idempotency key of a step. Repeating a call with it never charges twice. */
export const providerKey = (step: ProviderStep, id: string, attempt: number): string =>
  attempt === 1 ? `${id}:${step}` : `${id}:${step}:${attempt}`;

/** Parses a key into its parts; undefined when the key is not ours. */
export function parseProviderKey(key: string): ProviderKey | undefined {
  const match = /^([0-9a-f-]{36}):([a-z]+)(?::(\d{1,9}))?$/.exec(key);
  if (match === null) return undefined;
  const [, id = '', name, attempt = '1'] = match;
  const step = steps.find((candidate) => candidate === name);
  return step === undefined ? undefined : { step, id, attempt: Number(attempt) };
}
