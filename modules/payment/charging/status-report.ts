import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { PaymentRecord } from '../payment.ts';

/** Reports a status that an answer of the provider has brought. */
export type ReportStatus = (
  payment: PaymentRecord,
  status: 'captured' | 'declined' | 'failed' | 'voided',
  reason?: string,
) => void;

export function createStatusReport({
  log,
  metrics,
  onEventWritten,
}: {
  log: Log;
  metrics: Metrics;
  /** Called when the outbox holds a new event. */
  onEventWritten: () => void;
}): ReportStatus {
  return ({ id }, status, reason) => {
    if (reason !== undefined) log.info({ paymentId: id, status, reason }, 'charge failed');
    metrics.count('payments_total', { status });
    onEventWritten();
  };
}
