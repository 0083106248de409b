import type { Database } from '@platform/postgres/database.ts';
import { findAnswer, type IdempotencyKey } from '@platform/postgres/statements.ts';
import { createLedgerStore } from './store/ledger.ts';
import { createMethodStore } from './store/methods.ts';
import { createPaymentRowStore } from './store/payments.ts';
import { createQuoteStore } from './store/quotes.ts';
import { createRefundStore } from './store/refunds.ts';

export type PaymentStore = ReturnType<typeof createPaymentStore>;

/** This context's tables. All reads are of the primary: people look at what they have just changed. */
export function createPaymentStore(database: Database) {
  const sql = database.primary;
  return {
    methods: createMethodStore(sql),
    quotes: createQuoteStore(sql),
    payments: createPaymentRowStore(sql),
    refunds: createRefundStore(sql),
    ledger: createLedgerStore(sql),
    /** What was answered under this key; throws `idempotency.key_reused` when to another request. */
    findAnswer: <Answer>(key: IdempotencyKey) => findAnswer<Answer>(sql, key),
  };
}
