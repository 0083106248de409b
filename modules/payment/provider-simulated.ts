import { type Money, wholeBasisPoints } from '@contracts/money.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { Random } from '@platform/random.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from './provider.ts';
import type { SimulatedProviderSettings } from './settings.ts';

export interface SimulatedProviderOptions {
  /** Its memory is the table `provider_charges` here, so it outlives any process, as a real provider does. */
  database: Database;
  clock: Clock;
  /** Seed it, and the provider misbehaves the same way again. */
  random: Random;
  ids: Ids;
  settings: SimulatedProviderSettings;
}

type Habit = 'declines' | 'loses_first_reply' | 'is_slow' | 'answers_twice';

interface Card {
  label: string;
  /** What this card is for in tests; cards without one misbehave by the shares of the settings. */
  habit?: Habit;
}

const cards: Record<string, Card> = {
  tok_visa: { label: 'Visa •••• 4242' },
  tok_mastercard: { label: 'Mastercard •••• 4444' },
  tok_declined: { label: 'Visa •••• 0002', habit: 'declines' },
  tok_timeout: { label: 'Visa •••• 0028', habit: 'loses_first_reply' },
  tok_slow: { label: 'Visa •••• 0036', habit: 'is_slow' },
  tok_double: { label: 'Visa •••• 0044', habit: 'answers_twice' },
};

const slowMs = 1_500;

interface Operation {
  idempotencyKey: string;
  operation: 'authorise' | 'capture' | 'refund';
  reference: string;
  amount: Money;
  token: string;
  ofRef: string | null;
}

/**
 * A payment provider for everything but production. Idempotent by key as Stripe is: it acts once for a
 * key, remembers what it answered, and answers that again. It deliberately does not notice a second
 * capture under another key: the invariants must be able to see one.
 */
export function createSimulatedProvider(options: SimulatedProviderOptions): PaymentProvider {
  const { database, clock, random, ids, settings } = options;
  const records = createRecords(database);
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];
  const happens = (basisPoints: number) => random.next() * wholeBasisPoints < basisPoints;

  async function perform(operation: Operation): Promise<ProviderAnswer> {
    const { idempotencyKey, reference, token } = operation;
    const habit = cards[token]?.habit;
    const lost = happens(settings.PROVIDER_LOST_BASIS_POINTS);
    if (lost && happens(50)) return { kind: 'unknown' };
    const latencyMs = habit === 'is_slow' ? slowMs : settings.PROVIDER_LATENCY_MS;
    if (latencyMs > 0) await clock.sleep(latencyMs);

    const { calls, answer } = await records.act(operation, decide(operation), ids(), clock.nowMs());
    if (habit === 'answers_twice' || happens(settings.PROVIDER_REPEAT_BASIS_POINTS)) {
      await Promise.allSettled(listeners.map((listener) => listener({ idempotencyKey, reference, answer })));
    }
    return lost || (habit === 'loses_first_reply' && calls === 1) ? { kind: 'unknown' } : answer;
  }

  function decide({ operation, token }: Operation): string | null {
    if (cards[token] === undefined) return 'token_unknown';
    if (operation !== 'authorise') return null;
    const declines = cards[token].habit === 'declines' || happens(settings.PROVIDER_DECLINE_BASIS_POINTS);
    return declines ? 'card_declined' : null;
  }

  return {
    async describe(token) {
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
    async find(idempotencyKey) {
      if (happens(settings.PROVIDER_LOST_BASIS_POINTS)) return { kind: 'unknown' };
      return (await records.find(idempotencyKey)) ?? { kind: 'absent' };
    },
    listen: (listener) => listeners.push(listener),
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
    /** Acts on the first call of a key (declining for `declineReason`, if any); later ones only find what was done. */
    async act(operation: Operation, declineReason: string | null, ref: string, nowMs: number) {
      const { idempotencyKey, amount, token } = operation;
      const [row] = await sql<RecordRow[]>`
        insert into provider_charges
          (idempotency_key, operation, reference, ref, of_ref, token, currency, amount_minor, outcome, reason, at_ms)
        values
          (${idempotencyKey}, ${operation.operation}, ${operation.reference}, ${ref}, ${operation.ofRef}, ${token},
           ${amount.currency}, ${amount.amountMinor}, ${declineReason === null ? 'ok' : 'declined'},
           ${declineReason}, ${nowMs})
        on conflict (idempotency_key) do update set calls = provider_charges.calls + 1
        returning ${columns}`;
      if (row === undefined) throw new Error('the provider kept no record');
      const same =
        row.operation === operation.operation &&
        row.reference === operation.reference &&
        row.amountMinor === amount.amountMinor &&
        row.currency === amount.currency;
      if (!same) throw new Error(`idempotency key ${idempotencyKey} came with another request before`);
      return { calls: row.calls, answer: answerOf(row) };
    },

    async find(idempotencyKey: string): Promise<ProviderAnswer | undefined> {
      const [row] = await sql<RecordRow[]>`
        select ${columns} from provider_charges where idempotency_key = ${idempotencyKey}`;
      return row === undefined ? undefined : answerOf(row);
    },

    /** The card of something that was done before; empty when there was no such thing. */
    async tokenOf(ref: string): Promise<string> {
      const [row] = await sql<{ token: string }[]>`
        select token from provider_charges where ref = ${ref} and outcome = 'ok'`;
      return row?.token ?? '';
    },
  };
}

function answerOf({ outcome, ref, reason }: RecordRow): ProviderAnswer {
  return outcome === 'ok' ? { kind: 'ok', ref } : { kind: 'declined', reason: reason ?? 'declined' };
}
