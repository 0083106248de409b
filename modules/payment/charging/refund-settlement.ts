import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createPaymentEvent, paymentSnapshotOf } from '../events.ts';
import { createRefundTransfer, splitRefund } from '../ledger/transfers.ts';
import { fareSharesOf, type RefundRecord } from '../payment.ts';
import type { RefundWithPayment } from '../store/refunds.ts';
import type { PaymentStore } from '../store/store.ts';

export interface RefundRecorderDeps {
  store: PaymentStore;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** Called when the outbox holds a new event. */
  onEventWritten: () => void;
}

// A concurrent settlement for the same payment makes this one stale; each round lets at least one of them
// through.
const roundsMax = 20;

/** Records the answers of the provider to refunds, in the ledger and with their events. */
export function createRefundRecorder(deps: RefundRecorderDeps) {
  const { store, clock, ids, log, metrics, onEventWritten } = deps;

  return {
    async recordSettlement(claimed: RefundWithPayment, providerRef: string): Promise<void> {
      let current: RefundWithPayment | undefined = claimed;
      for (let round = 0; round < roundsMax; round++) {
        if (current === undefined || current.refund.status !== 'pending') return;
        if (await writeSettlement(current, providerRef)) {
          metrics.count('refunds_total', { status: 'settled' });
          return onEventWritten();
        }
        current = await store.refunds.find(claimed.refund.id);
      }
      // The timer makes the refund due again, and the provider gives the same answer.
      log.warn({ refundId: claimed.refund.id }, 'refund settlement kept losing to concurrent refunds');
    },

    async recordDecline(refund: RefundRecord, reason: string): Promise<void> {
      log.warn({ refundId: refund.id, reason }, 'provider declined a refund');
      await store.refunds.fail(refund, reason, clock.nowMs());
      metrics.count('refunds_total', { status: 'failed' });
    },
  };

  function writeSettlement(found: RefundWithPayment, providerRef: string): Promise<boolean> {
    const { refund, payment } = found;
    const nowMs = clock.nowMs();
    const refundedMinor = payment.refundedMinor + refund.amountMinor;
    const status = refundedMinor === payment.amountMinor ? 'refunded' : 'captured';
    const shares = splitRefund(fareSharesOf(payment), payment.refundedMinor, refund.amountMinor);
    const transfer = createRefundTransfer(payment.driverId, payment.currency, shares);
    const snapshot = paymentSnapshotOf(payment, { status, refundedMinor }, nowMs);
    const settlement = {
      providerRef,
      refundedBeforeMinor: payment.refundedMinor,
      status,
      transfer: { id: ids(), kind: 'refund', refundId: refund.id, transfer },
      event: createPaymentEvent(ids, 'payment.refunded.v1', snapshot),
    } as const;
    return store.refunds.settle(found, settlement, nowMs);
  }
}
