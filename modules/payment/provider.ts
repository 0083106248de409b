import type { Money } from '@contracts/money.ts';

/**
 * How a call to the provider ends. `unknown`: no answer came, so it may or may not have happened.
 * `ref` is the provider's name for what it did.
 */
export type ProviderAnswer =
  | { kind: 'ok'; ref: string }
  | { kind: 'declined'; reason: string }
  | { kind: 'unknown' };

/** What the provider says it did under a key: `absent` when it has never heard of it. */
export type ProviderRecord = ProviderAnswer | { kind: 'absent' };

interface ProviderRequest {
  /** The same key again is the same operation: it happens once and is answered alike. */
  idempotencyKey: string;
  /** Our id of what is paid; comes back in notices. */
  reference: string;
  amount: Money;
}
export type AuthoriseRequest = ProviderRequest & { token: string };
export type CaptureRequest = ProviderRequest & { authorisationRef: string };
export type RefundRequest = ProviderRequest & { captureRef: string };

/** An answer that comes outside its call: late, or once more. */
export interface ProviderNotice {
  idempotencyKey: string;
  reference: string;
  answer: ProviderAnswer;
}

/** Who holds the riders' cards. A rejected call counts as `unknown`. */
export interface PaymentProvider {
  /** What to show for a card, or undefined when there is no such token. */
  describe(token: string): Promise<{ label: string } | undefined>;
  /** Sets the amount aside on the card; nothing is taken, and it lapses by itself if never captured. */
  authorise(request: AuthoriseRequest): Promise<ProviderAnswer>;
  /** Takes what was authorised. */
  capture(request: CaptureRequest): Promise<ProviderAnswer>;
  /** Gives back all or a part of what was captured. */
  refund(request: RefundRequest): Promise<ProviderAnswer>;
  find(idempotencyKey: string): Promise<ProviderRecord>;
  /** Tells `listener` of every notice. */
  listen(listener: (notice: ProviderNotice) => Promise<void>): void;
}

/** The keys under which we ask: one for each step, so that asking again can never charge again. */
export const providerKeys = {
  authorise: (paymentId: string) => `${paymentId}:authorise`,
  capture: (paymentId: string) => `${paymentId}:capture`,
  refund: (refundId: string) => `${refundId}:refund`,
};

/** The step and the id (of a payment, or of a refund) that a key was made of. */
export function readProviderKey(key: string): { step: keyof typeof providerKeys; id: string } | undefined {
  const match = /^([0-9a-f-]{36}):(authorise|capture|refund)$/.exec(key);
  if (match === null) return undefined;
  const [, id = '', step] = match;
  return step === 'authorise' || step === 'capture' || step === 'refund' ? { step, id } : undefined;
}
