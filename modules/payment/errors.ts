import { defineProblems } from '@platform/problems.ts';

export const paymentProblem = defineProblems({
  'quote.not_found': ['not_found', 'Quote not found'],
  'quote.distance_invalid': ['invalid', 'Pickup and drop-off are too close together or too far apart'],
  'payment_method.required': ['conflict', 'Payment method required'],
  'payment_method.not_found': ['not_found', 'Payment method not found'],
  'payment_method.token_unknown': ['invalid', 'Unknown payment method token'],
  'payment_method.too_many': ['conflict', 'Too many payment methods'],
  // Also for a payment of another person, so that its existence is not disclosed.
  'payment.not_found': ['not_found', 'Payment not found'],
  'payment.not_captured': ['conflict', 'Payment is not captured'],
  'payment.debt_outstanding': ['conflict', 'Outstanding debt from an earlier trip'],
  'payment.not_owed': ['conflict', 'Payment is not owed'],
  'payment.in_progress': ['conflict', 'Payment attempt in progress, retry later'],
  'payment.declined': ['conflict', 'Payment declined'],
  'refund.too_large': ['conflict', 'Refund exceeds the remaining amount'],
  'refund.declined': ['conflict', 'Refund declined'],
  'receipt.not_found': ['not_found', 'Receipt not found'],
});
