import { basisPointsPerWhole, type Money } from '@contracts/money.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { Random } from '@platform/random.ts';
import type { SimulatedProviderSettings } from '../settings.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice, ProviderOperationRecord } from './provider.ts';

export interface SimulatedProviderDeps {
  /**
   * Stores its records in the table `provider_charges`, so they outlive every process, as those of a real
   * provider do.
   */
  database: Database;
  clock: Clock;
  /** A seeded source makes the provider misbehave the same way again. */
  random: Random;
  ids: Ids;
  settings: SimulatedProviderSettings;
}

type Behaviour = 'declines' | 'declines_capture' | 'loses_first_reply' | 'is_slow' | 'answers_twice';

interface Card {
  label: string;
  /**
   * The behaviour that tests select with this card; cards without one misbehave at the rates of the
   * settings.
   */
  behaviour?: Behaviour;
}

const cards: Record<string, Card> = {
  tok_visa: { label: 'Visa •••• 4242' },
  tok_mastercard: { label: 'Mastercard •••• 4444' },
  tok_declined: { label: 'Visa •••• 0002', behaviour: 'declines' },
  tok_no_funds: { label: 'Visa •••• 9995', behaviour: 'declines_capture' },
  tok_timeout: { label: 'Visa •••• 0028', behaviour: 'loses_first_reply' },
  tok_slow: { label: 'Visa •••• 0036', behaviour: 'is_slow' },
  tok_double: { label: 'Visa •••• 0044', behaviour: 'answers_twice' },
};

const slowMs = 1_500;
/** As real providers do: after this time a key counts as new, and an authorisation has expired. */
const keyLifetimeMs = 24 * 60 * 60 * 1_000;
const authorisationLifetimeMs = 7 * 24 * 60 * 60 * 1_000;

interface Operation {
  idempotencyKey: string;
  operation: 'authorise' | 'capture' | 'refund' | 'void';
  reference: string;
  amount: Money;
  token: string;
  ofRef: string | null;
}

/**
 * A payment provider for every environment but production. Like Stripe it is idempotent by key: it acts
 * once for a key, remembers the answer for 24 hours, and repeats it. It deliberately accepts a second
 * capture under another key, so that the invariants can detect one.
 */
export function createSimulatedProvider(deps: SimulatedProviderDeps): PaymentProvider {
  const { database, clock, random, ids, settings } = deps;
  const records = createRecords(database);
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];
  const isDrawn = (basisPoints: number) => random.next() * basisPointsPerWhole < basisPoints;

  async function perform(operation: Operation): Promise<ProviderAnswer> {
    const { idempotencyKey, reference, token } = operation;
    const behaviour = cards[token]?.behaviour;
    const isLost = isDrawn(settings.PROVIDER_LOST_BASIS_POINTS);
    if (isLost && isDrawn(50)) return { kind: 'unknown' };
    const latencyMs = behaviour === 'is_slow' ? slowMs : settings.PROVIDER_LATENCY_MS;
    if (latencyMs > 0) await clock.sleep(latencyMs);

    const { calls, answer } = await records.act(
      operation,
      await declineReasonOf(operation),
      ids(),
      clock.nowMs(),
    );
    if (behaviour === 'answers_twice' || isDrawn(settings.PROVIDER_REPEAT_BASIS_POINTS)) {
      await Promise.allSettled(listeners.map((listener) => listener({ idempotencyKey, reference, answer })));
    }
    return isLost || (behaviour === 'loses_first_reply' && calls === 1) ? { kind: 'unknown' } : answer;
  }

  /** The reason to decline the operation, or null. */
  async function declineReasonOf({ operation, token, ofRef, amount }: Operation): Promise<string | null> {
    if (cards[token] === undefined) return 'token_unknown';
    const { behaviour } = cards[token];
    if (operation === 'authorise') {
      return behaviour === 'declines' || isDrawn(settings.PROVIDER_DECLINE_BASIS_POINTS)
        ? 'card_declined'
        : null;
    }
    if (operation === 'refund' || ofRef === null) return null;
    const authorisation = await records.authorisation(ofRef);
    if (authorisation?.isVoided) return 'authorisation_voided';
    if (operation === 'void') return authorisation?.isCaptured ? 'authorisation_captured' : null;
    if (behaviour === 'declines_capture') return 'insufficient_funds';
    if (authorisation === undefined || authorisation.amountMinor < amount.amountMinor)
      return 'amount_too_large';
    return clock.nowMs() - authorisation.atMs > authorisationLifetimeMs ? 'authorisation_expired' : null;
  }

  return {
    async describeCard(token) {
      const card = Object.hasOwn(cards, token) ? cards[token] : undefined;
      return card === undefined ? undefined : { label: card.label };
    },
    authorise: (request) => perform({ ...request, operation: 'authorise', ofRef: null }),
    async capture({ authorisationRef, ...request }) {
      const token = await records.tokenOf(authorisationRef);
      return perform({ ...request, operation: 'capture', token, ofRef: authorisationRef });
    },
    async refund({ captureRef, ...request }) {
      const token = await records.tokenOf(captureRef);
      return perform({ ...request, operation: 'refund', token, ofRef: captureRef });
    },
    async void({ authorisationRef, ...request }) {
      const token = await records.tokenOf(authorisationRef);
      return perform({ ...request, operation: 'void', token, ofRef: authorisationRef });
    },
    async list(reference) {
      if (isDrawn(settings.PROVIDER_LOST_BASIS_POINTS)) throw new Error('simulated loss of the list');
      return records.list(reference);
    },
    onNotice: (listener) => listeners.push(listener),
  };
}

interface RecordRow {
  operation: string;
  reference: string;
  amountMinor: number;
  currency: string;
  outcome: 'ok' | 'declined';
  ref: string;
  reason: string | null;
  calls: number;
}

function createRecords(database: Database) {
  const sql = database.primary;
  const columns = sql`operation, reference, amount_minor as "amountMinor", currency, outcome, ref, reason, calls`;

  return {
    /**
     * Acts on the first call of a key (declines it for `declineReason`, if given); later calls find the
     * record.
     */
    async act(operation: Operation, declineReason: string | null, ref: string, nowMs: number) {
      const { idempotencyKey, amount, token } = operation;
      await sql`
        update provider_charges set idempotency_key = null
        where idempotency_key = ${idempotencyKey} and at_ms <= ${nowMs - keyLifetimeMs}`;
      const [row] = await sql<RecordRow[]>`
        insert into provider_charges
          (idempotency_key, label, operation, reference, ref, of_ref, token, currency, amount_minor, outcome,
           reason, at_ms)
        values
          (${idempotencyKey}, ${idempotencyKey}, ${operation.operation}, ${operation.reference}, ${ref}, ${operation.ofRef}, ${token},
           ${amount.currency}, ${amount.amountMinor}, ${declineReason === null ? 'ok' : 'declined'},
           ${declineReason}, ${nowMs})
        on conflict (idempotency_key) do update set calls = provider_charges.calls + 1
        returning ${columns}`;
      if (row === undefined) throw new Error('insert returned no record');
      const isSameRequest =
        row.operation === operation.operation &&
        row.reference === operation.reference &&
        row.amountMinor === amount.amountMinor &&
        row.currency === amount.currency;
      if (!isSameRequest) throw new Error(`idempotency key ${idempotencyKey} was used for another request`);
      return { calls: row.calls, answer: answerOf(row) };
    },

    async list(reference: string): Promise<ProviderOperationRecord[]> {
      const rows = await sql<(RecordRow & { label: string })[]>`
        select ${columns}, label from provider_charges where reference = ${reference} order by at_ms, ref`;
      return rows.map((row) => ({ idempotencyKey: row.label, answer: answerOf(row) }));
    },

    async authorisation(ref: string) {
      const [row] = await sql<
        { amountMinor: number; atMs: number; isVoided: boolean; isCaptured: boolean }[]
      >`
        select amount_minor as "amountMinor", at_ms as "atMs",
               exists (select from provider_charges v
                       where v.of_ref = a.ref and v.operation = 'void' and v.outcome = 'ok') as "isVoided",
               exists (select from provider_charges c
                       where c.of_ref = a.ref and c.operation = 'capture' and c.outcome = 'ok') as "isCaptured"
        from provider_charges a where ref = ${ref} and operation = 'authorise' and outcome = 'ok'`;
      return row;
    },

    /** The card token of an earlier operation; empty when there was none. */
    async tokenOf(ref: string): Promise<string> {
      const [row] = await sql<{ token: string }[]>`
        select token from provider_charges where ref = ${ref} and outcome = 'ok'`;
      return row?.token ?? '';
    },
  };
}

function answerOf({ outcome, ref, reason }: RecordRow): ProviderOperationRecord['answer'] {
  return outcome === 'ok' ? { kind: 'ok', ref } : { kind: 'declined', reason: reason ?? 'declined' };
}
