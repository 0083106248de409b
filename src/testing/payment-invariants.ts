export {
  chargeViolations,
  type PaymentInvariantOptions,
  paymentInvariants,
} from '../invariants/payments.ts';
