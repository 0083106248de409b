import type { Money } from '@contracts/money.ts';

/**
 * How a call to the provider ends. `unknown`: no answer came, so it may or may not have happened.
 * `ref` is the provider's name for what it did.
 */
export type ProviderAnswer =
  | { kind: 'ok'; ref: string }
  | { kind: 'declined'; reason: string }
  | { kind: 'unknown' };

/** What the provider lists of a reference: each thing it did or declined, with the key that asked for it. */
export interface ProviderOperationRecord {
  idempotencyKey: string;
  answer: Exclude<ProviderAnswer, { kind: 'unknown' }>;
}

interface ProviderRequest {
  /**
   * The same key again is the same operation: it happens once and is answered alike. But only as long as the
   * provider remembers the key, which is 24 hours: see `providerKeyAgeMsMax`.
   */
  idempotencyKey: string;
  /** Our id of what is paid; comes back in notices. */
  reference: string;
  amount: Money;
}
export type AuthoriseRequest = ProviderRequest & { token: string };
export type CaptureRequest = ProviderRequest & { authorisationRef: string };
export type RefundRequest = ProviderRequest & { captureRef: string };
export type VoidRequest = ProviderRequest & { authorisationRef: string };

/** After so long a key is never sent again: providers forget them after 24 hours, and would act once more. */
export const providerKeyAgeMsMax = 23 * 60 * 60 * 1_000;

/** An answer that comes outside its call: late, or once more. */
export interface ProviderNotice {
  idempotencyKey: string;
  reference: string;
  answer: ProviderAnswer;
}

/** Who holds the riders' cards. A rejected call counts as `unknown`. */
export interface PaymentProvider {
  /** What to show for a card, or undefined when there is no such token. */
  describeCard(token: string): Promise<{ label: string } | undefined>;
  /** Sets the amount aside on the card; nothing is taken, and it lapses by itself if never captured. */
  authorise(request: AuthoriseRequest): Promise<ProviderAnswer>;
  /** Takes what was authorised, or less of it. */
  capture(request: CaptureRequest): Promise<ProviderAnswer>;
  /** Gives back all or a part of what was captured. */
  refund(request: RefundRequest): Promise<ProviderAnswer>;
  /** Releases an authorisation that was not captured. */
  void(request: VoidRequest): Promise<ProviderAnswer>;
  /** Everything that was done or declined under a reference, however long ago. Rejects when it can't be read. */
  list(reference: string): Promise<ProviderOperationRecord[]>;
  /** Tells `listener` of every notice. */
  onNotice(listener: (notice: ProviderNotice) => Promise<void>): void;
}

/** The provider is not asked to move nothing: a step over nothing is done, under this name. */
export const zeroAmountRef = 'nothing';

/** The operations that are asked for under a key; `reverse` gives back what no payment needs. */
const steps = ['authorise', 'capture', 'void', 'refund', 'reverse'] as const;
export type ProviderStep = (typeof steps)[number];

export interface ProviderKey {
  step: ProviderStep;
  /** Of a payment, a refund or a reversal. */
  id: string;
  /** From 1; a new number is a new operation for the provider. */
  attempt: number;
}

/** The key under which a step is asked for: asking again with it can never charge again. */
export const providerKey = (step: ProviderStep, id: string, attempt: number): string =>
  attempt === 1 ? `${id}:${step}` : `${id}:${step}:${attempt}`;

/** What a key was made of. */
export function parseProviderKey(key: string): ProviderKey | undefined {
  const match = /^([0-9a-f-]{36}):([a-z]+)(?::(\d{1,9}))?$/.exec(key);
  if (match === null) return undefined;
  const [, id = '', name, attempt = '1'] = match;
  const step = steps.find((one) => one === name);
  return step === undefined ? undefined : { step, id, attempt: Number(attempt) };
}
