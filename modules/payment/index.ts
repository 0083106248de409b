import { Page, PageQuery } from '@contracts/common.ts';
import { asDriver, asRider, PaymentPath, TripPath } from '@contracts/ids.ts';
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
import { readIdempotencyKey } from '@platform/http/idempotency.ts';
import { keepSession, sessionOf } from '@platform/http/session.ts';
import type { Ids } from '@platform/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Debts } from './debts.ts';
import type { Viewer } from './payments.ts';
import type { Refunds } from './refunds.ts';
import type { PaymentService } from './service.ts';

export interface PaymentRoutesOptions {
  guard: Guard;
  ids: Ids;
  database: Database;
  service: PaymentService;
  refunds: Refunds;
  debts: Debts;
}

export function createPaymentRoutes(options: PaymentRoutesOptions) {
  return new Elysia({ name: 'payment', normalize: false })
    .onAfterHandle(keepSession(options.database))
    .use(quotes(options))
    .use(paymentMethods(options))
    .use(payments(options))
    .use(trips(options));
}

function quotes({ guard, ids, service }: PaymentRoutesOptions) {
  return new Elysia({ name: 'payment:quotes', prefix: '/v1', normalize: false, detail: { tags: ['trip'] } })
    .use(guard)
    .post(
      '/quotes',
      async ({ person, body, request, status }) => {
        const key = readIdempotencyKey(request, body, person.id, ids);
        return status(201, await service.quote(asRider(person.id), body, key));
      },
      {
        role: 'rider',
        body: QuoteBody,
        response: { 201: Quote },
        detail: { 'x-idempotent': true, summary: 'Ask for a fare that binds until it expires' },
      },
    );
}

function paymentMethods({ guard, ids, service }: PaymentRoutesOptions) {
  return new Elysia({
    name: 'payment:methods',
    prefix: '/v1',
    normalize: false,
    detail: { tags: ['payment'] },
  })
    .use(guard)
    .post(
      '/payment-methods',
      async ({ person, body, request, status }) => {
        const key = readIdempotencyKey(request, body, person.id, ids);
        return status(201, await service.addMethod(asRider(person.id), body.token, key));
      },
      {
        role: 'rider',
        body: AddPaymentMethodBody,
        response: { 201: PaymentMethod },
        detail: { 'x-idempotent': true, summary: "Add a card by the payment provider's token" },
      },
    )
    .get(
      '/payment-methods',
      ({ person, query, request }) => service.listMethods(asRider(person.id), query, sessionOf(request)),
      {
        role: 'rider',
        query: PageQuery,
        response: { 200: Page(PaymentMethod) },
        detail: { summary: 'My payment methods, newest first' },
      },
    );
}

function payments({ guard, ids, service, refunds, debts }: PaymentRoutesOptions) {
  return new Elysia({
    name: 'payment:payments',
    prefix: '/v1',
    normalize: false,
    detail: { tags: ['payment'] },
  })
    .use(guard)
    .get(
      '/payments',
      ({ person, query, request }) => service.payments(asRider(person.id), query, sessionOf(request)),
      {
        role: 'rider',
        query: PaymentsQuery,
        response: { 200: Page(RiderPayment) },
        detail: { summary: 'My payments, newest first; with status=failed those that I owe' },
      },
    )
    .post(
      '/payments/:id/pay',
      ({ person, params, body, request }) => {
        const key = readIdempotencyKey(request, body, person.id, ids);
        return debts.pay(params.id, asRider(person.id), body.paymentMethodId, key);
      },
      {
        role: 'rider',
        params: PaymentPath,
        body: PayBody,
        response: { 200: RiderPayment },
        detail: {
          'x-idempotent': true,
          summary: 'Pay for a trip whose charge has failed, with any of my cards',
        },
      },
    )
    .get(
      '/payments/:id',
      ({ person, params, request }) => service.payment(params.id, viewerOf(person), sessionOf(request)),
      {
        role: ['rider', 'driver', 'ops'],
        params: PaymentPath,
        response: { 200: Type.Union([OperatorPayment, RiderPayment, DriverPayment]) },
        detail: { summary: 'A payment, for its rider, its driver and operators' },
      },
    )
    .post(
      '/payments/:id/refunds',
      async ({ person, params, body, request, status }) => {
        const key = readIdempotencyKey(request, body, person.id, ids);
        return status(201, await refunds.request(params.id, body, person.id, key));
      },
      {
        role: 'ops',
        params: PaymentPath,
        body: RefundBody,
        response: { 201: Refund },
        detail: { 'x-idempotent': true, summary: 'Give back a captured payment, all of it or a part' },
      },
    );
}

function trips({ guard, service }: PaymentRoutesOptions) {
  return new Elysia({ name: 'payment:trips', prefix: '/v1', normalize: false })
    .use(guard)
    .get(
      '/trips/:id/receipt',
      ({ person, params, request }) => service.receipt(params.id, viewerOf(person), sessionOf(request)),
      {
        role: ['rider', 'driver'],
        params: TripPath,
        response: { 200: Receipt },
        detail: { tags: ['trip'], summary: 'The receipt of a completed trip, for its rider and its driver' },
      },
    )
    .get(
      '/drivers/me/earnings',
      ({ person, query, request }) => service.earnings(asDriver(person.id), query, sessionOf(request)),
      {
        role: 'driver',
        query: EarningsQuery,
        response: { 200: Earnings },
        detail: { tags: ['driver'], summary: 'What I have earned, newest first, and my balance' },
      },
    );
}

const viewerOf = ({ id, role }: Principal): Viewer => (role === 'ops' ? { role } : { role, id });
