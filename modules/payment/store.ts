import type { Database } from '@platform/postgres/database.ts';
import { answerOnce, findAnswer, type IdempotencyKey } from '@platform/postgres/statements.ts';
import { createLedgerStore } from './store/ledger.ts';
import { createMethodStore } from './store/methods.ts';
import { createPaymentRowStore } from './store/payments.ts';
import { createQuoteStore } from './store/quotes.ts';
import { createRefundStore } from './store/refunds.ts';
import { createReversalStore } from './store/reversals.ts';

export type PaymentStore = ReturnType<typeof createPaymentStore>;

/** This context's tables. */
export function createPaymentStore(database: Database) {
  const sql = database.primary;
  return {
    methods: createMethodStore(database),
    quotes: createQuoteStore(sql),
    payments: createPaymentRowStore(database),
    refunds: createRefundStore(sql),
    reversals: createReversalStore(sql),
    ledger: createLedgerStore(database),
    /** What was answered under this key; throws `idempotency.key_reused` when to another request. */
    findAnswer: <Answer>(key: IdempotencyKey) => findAnswer<Answer>(sql, key),
    /** The first answer under this key, or what `write` stores under it. */
    once: <Answer>(key: IdempotencyKey, write: () => Promise<Answer | undefined>) =>
      answerOnce(sql, key, write),
  };
}
