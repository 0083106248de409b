import { QuoteIdSchema, RiderIdSchema } from '@contracts/ids.ts';
import { Quote } from '@contracts/payments.ts';
import type { ServiceGuard } from '@platform/auth/services.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { PaymentService } from './service.ts';

export interface PaymentInternalOptions {
  serviceGuard: ServiceGuard;
  service: PaymentService;
}

/** For other services only. Whether a quote has expired is for the asker to judge: it may replay an old request. */
export function createPaymentInternal({ serviceGuard, service }: PaymentInternalOptions) {
  return new Elysia({ name: 'payment:internal', prefix: '/internal/payment', normalize: false })
    .use(serviceGuard)
    .get('/quotes/:id', ({ params, query }) => service.findQuote(params.id, query.riderId), {
      service: true,
      params: Type.Object({ id: QuoteIdSchema }),
      query: Type.Object({ riderId: RiderIdSchema }),
      response: { 200: Quote },
    });
}
