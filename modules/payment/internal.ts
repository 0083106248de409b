import { QueryInteger } from '@contracts/common.ts';
import { QuoteIdSchema, RiderIdSchema, TripIdSchema } from '@contracts/ids.ts';
import { AuthorisationState, authorisationWaitMsMax, QuoteForTrip } from '@contracts/payments.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Authorisations } from './charging/authorisations.ts';
import type { PaymentService } from './service.ts';

export interface PaymentInternalDeps {
  serviceGuard: ServiceGuard;
  service: PaymentService;
  authorisations: Authorisations;
}

/**
 * Routes for other services. An expired quote is returned too: the caller decides whether to accept it,
 * because it may repeat an old request.
 */
export function createPaymentInternal({ serviceGuard, service, authorisations }: PaymentInternalDeps) {
  return new Elysia({ name: 'payment:internal', prefix: '/internal/payment', normalize: false })
    .use(serviceGuard)
    .get('/quotes/:id', ({ params, query }) => service.findQuoteForTrip(params.id, query.riderId), {
      service: true,
      params: Type.Object({ id: QuoteIdSchema }),
      query: Type.Object({ riderId: RiderIdSchema }),
      response: { 200: QuoteForTrip },
    })
    .get(
      '/authorisations/:tripId',
      async ({ params, query: { withinMs = 0 } }) => ({
        state: await authorisations.waitForState(params.tripId, withinMs),
      }),
      {
        service: true,
        params: Type.Object({ tripId: TripIdSchema }),
        query: Type.Object({ withinMs: QueryInteger(0, authorisationWaitMsMax, 0) }),
        response: { 200: Type.Object({ state: AuthorisationState }) },
      },
    );
}
