import type { Database } from '@platform/postgres/database.ts';
import { findResponse, type IdempotencyKey, respondOnce } from '@platform/postgres/statements.ts';
import { createLedgerStore } from './ledger.ts';
import { createMethodStore } from './methods.ts';
import { createPaymentRowStore } from './payments.ts';
import { createQuoteStore } from './quotes.ts';
import { createRefundStore } from './refunds.ts';
import { createReversalStore } from './reversals.ts';

export type PaymentStore = ReturnType<typeof createPaymentStore>;

/** Gives access to the tables of the payment context. */
export function createPaymentStore(database: Database) {
  const sql = database.primary;
  return {
    methods: createMethodStore(database),
    quotes: createQuoteStore(sql),
    payments: createPaymentRowStore(database),
    refunds: createRefundStore(sql),
    reversals: createReversalStore(sql),
    ledger: createLedgerStore(database),
    /**
     * The stored response for this key; throws `idempotency.key_reused` when the key belongs to another
     * request.
     */
    findResponse: <Response>(key: IdempotencyKey) => findResponse<Response>(sql, key),
    /** The first response for this key, or what `write` stores for it. */
    respondOnce: <Response>(key: IdempotencyKey, write: () => Promise<Response | undefined>) =>
      respondOnce(sql, key, write),
  };
}
