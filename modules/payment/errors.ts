import { defineProblems } from '@platform/problems.ts';

export const paymentProblem = defineProblems({
  'quote.not_found': ['not_found', 'There is no such quote of yours'],
  'quote.distance_invalid': ['invalid', 'Pickup and drop-off are too close together or too far apart'],
  'payment_method.required': ['conflict', 'Add a payment method first'],
  'payment_method.not_found': ['not_found', 'There is no such payment method of yours'],
  'payment_method.token_unknown': ['invalid', 'The payment provider does not know this token'],
  'payment_method.too_many': ['conflict', 'You have as many payment methods as are allowed'],
  // Somebody else's payment answers the same: who may not see it can't learn that it exists.
  'payment.not_found': ['not_found', 'There is no such payment of yours'],
  'payment.not_captured': ['conflict', 'Nothing was captured that could be refunded'],
  'payment.debt_outstanding': ['conflict', 'An earlier trip is not paid yet'],
  'payment.not_owed': ['conflict', 'There is nothing to pay'],
  'payment.in_progress': ['conflict', 'This payment is being tried at this moment; try again soon'],
  'payment.declined': ['conflict', 'The payment provider declined the payment'],
  'refund.too_large': ['conflict', 'The refund is more than what is left of the payment'],
  'refund.declined': ['conflict', 'The payment provider refused the refund'],
  'receipt.not_found': ['not_found', 'There is no receipt for this trip of yours'],
});
