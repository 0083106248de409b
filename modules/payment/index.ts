import { Page, PageQuery } from '@contracts/common.ts';
import { asDriverId, asRiderId, PaymentPath, TripPath } from '@contracts/ids.ts';
import {
  AddPaymentMethodBody,
  DriverPayment,
  Earnings,
  EarningsQuery,
  OperatorPayment,
  PayBody,
  PaymentMethod,
  PaymentsQuery,
  Quote,
  QuoteBody,
  Receipt,
  Refund,
  RefundBody,
  RiderPayment,
} from '@contracts/payments.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { readIdempotencyKey } from '@platform/http/idempotency.ts';
import { readConsistencyTokenOf, sendReadConsistencyToken } from '@platform/http/read-consistency.ts';
import type { Ids } from '@platform/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Debts } from './charging/debts.ts';
import type { Refunds } from './charging/refunds.ts';
import type { PaymentService } from './service.ts';
import type { Viewer } from './views.ts';

export interface PaymentRoutesDeps {
  guard: Guard;
  ids: Ids;
  database: Database;
  service: PaymentService;
  refunds: Refunds;
  debts: Debts;
}

export function createPaymentRoutes(deps: PaymentRoutesDeps) {
  return new Elysia({ name: 'payment', normalize: false })
    .onAfterHandle(sendReadConsistencyToken(deps.database))
    .use(quoteRoutes(deps))
    .use(paymentMethodRoutes(deps))
    .use(paymentRoutes(deps))
    .use(tripRoutes(deps));
}

function quoteRoutes({ guard, ids, service }: PaymentRoutesDeps) {
  return new Elysia({ name: 'payment:quotes', prefix: '/v1', normalize: false, detail: { tags: ['trip'] } })
    .use(guard)
    .post(
      '/quotes',
      async ({ principal, body, request, status }) => {
        const key = readIdempotencyKey(request, body, principal.id, ids);
        return status(201, await service.createQuote(asRiderId(principal.id), body, key));
      },
      {
        role: 'rider',
        body: QuoteBody,
        response: { 201: Quote },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'with_key' }),
          summary: 'Create a quote with a binding fare',
        },
      },
    );
}

function paymentMethodRoutes({ guard, ids, service }: PaymentRoutesDeps) {
  return new Elysia({
    name: 'payment:methods',
    prefix: '/v1',
    normalize: false,
    detail: { tags: ['payment'] },
  })
    .use(guard)
    .post(
      '/payment-methods',
      async ({ principal, body, request, status }) => {
        const key = readIdempotencyKey(request, body, principal.id, ids);
        return status(201, await service.addPaymentMethod(asRiderId(principal.id), body.token, key));
      },
      {
        role: 'rider',
        body: AddPaymentMethodBody,
        response: { 201: PaymentMethod },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'with_key' }),
          summary: 'Add a payment method',
        },
      },
    )
    .get(
      '/payment-methods',
      ({ principal, query, request }) =>
        service.listPaymentMethods(asRiderId(principal.id), query, readConsistencyTokenOf(request)),
      {
        role: 'rider',
        query: PageQuery,
        response: { 200: Page(PaymentMethod) },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
          summary: 'List my payment methods, newest first',
        },
      },
    );
}

function paymentRoutes({ guard, ids, service, refunds, debts }: PaymentRoutesDeps) {
  return new Elysia({
    name: 'payment:payments',
    prefix: '/v1',
    normalize: false,
    detail: { tags: ['payment'] },
  })
    .use(guard)
    .get(
      '/payments',
      ({ principal, query, request }) =>
        service.listPayments(asRiderId(principal.id), query, readConsistencyTokenOf(request)),
      {
        role: 'rider',
        query: PaymentsQuery,
        response: { 200: Page(RiderPayment) },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
          summary: 'List my payments, newest first; status=failed lists my debts',
        },
      },
    )
    .post(
      '/payments/:id/pay',
      ({ principal, params, body, request }) => {
        const key = readIdempotencyKey(request, body, principal.id, ids);
        return debts.pay(params.id, asRiderId(principal.id), body.paymentMethodId, key);
      },
      {
        role: 'rider',
        params: PaymentPath,
        body: PayBody,
        response: { 200: RiderPayment },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'with_key' }),
          summary: 'Pay a failed payment with one of my payment methods',
        },
      },
    )
    .get(
      '/payments/:id',
      ({ principal, params, request }) =>
        service.findPayment(params.id, viewerOf(principal), readConsistencyTokenOf(request)),
      {
        role: ['rider', 'driver', 'ops'],
        params: PaymentPath,
        response: { 200: Type.Union([OperatorPayment, RiderPayment, DriverPayment]) },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
          summary: 'Get a payment',
        },
      },
    )
    .post(
      '/payments/:id/refunds',
      async ({ principal, params, body, request, status }) => {
        const key = readIdempotencyKey(request, body, principal.id, ids);
        return status(201, await refunds.request(params.id, body, principal.id, key));
      },
      {
        role: 'ops',
        params: PaymentPath,
        body: RefundBody,
        response: { 201: Refund },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'with_key' }),
          summary: 'Refund a captured payment in full or in part',
        },
      },
    );
}

function tripRoutes({ guard, service }: PaymentRoutesDeps) {
  return new Elysia({ name: 'payment:trips', prefix: '/v1', normalize: false })
    .use(guard)
    .get(
      '/trips/:id/receipt',
      ({ principal, params, request }) =>
        service.findReceipt(params.id, viewerOf(principal), readConsistencyTokenOf(request)),
      {
        role: ['rider', 'driver'],
        params: TripPath,
        response: { 200: Receipt },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
          tags: ['trip'],
          summary: 'Get the receipt of a completed trip',
        },
      },
    )
    .get(
      '/drivers/me/earnings',
      ({ principal, query, request }) =>
        service.findEarnings(asDriverId(principal.id), query, readConsistencyTokenOf(request)),
      {
        role: 'driver',
        query: EarningsQuery,
        response: { 200: Earnings },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
          tags: ['driver'],
          summary: 'Get my balance and earnings, newest first',
        },
      },
    );
}

const viewerOf = ({ id, role }: Principal): Viewer => (role === 'ops' ? { role } : { role, id });
