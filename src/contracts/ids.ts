import { Type } from '@sinclair/typebox';

/** A branded string id. Passing an id of one kind where another kind is expected does not compile. */
export type Brand<Name extends string> = string & { readonly __brand: Name };

/** Anyone with an account. A rider or a driver is a person in that role and has the same id. */
export type PersonId = Brand<'PersonId'>;
export type RiderId = Brand<'RiderId'>;
export type DriverId = Brand<'DriverId'>;
export type TripId = Brand<'TripId'>;
export type QuoteId = Brand<'QuoteId'>;
export type PaymentId = Brand<'PaymentId'>;
export type PaymentMethodId = Brand<'PaymentMethodId'>;
export type RefundId = Brand<'RefundId'>;
export type EventId = Brand<'EventId'>;

/** Treats the id of a rider, a driver or an operator as the id of the person. */
export const asPersonId = (id: RiderId | DriverId | PersonId): PersonId => id as string as PersonId;
/** Treat a person's id as that of a driver or a rider, for callers that have checked the role. */
export const asDriverId = (id: PersonId): DriverId => id as string as DriverId;
export const asRiderId = (id: PersonId): RiderId => id as string as RiderId;

// Lower-case canonical form only, so that caches and logs never see two spellings of one id.
const uuidPattern = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

const uuid = <Id extends string>(description: string) =>
  Type.Unsafe<Id>(Type.String({ pattern: uuidPattern, description }));

export const PersonIdSchema = uuid<PersonId>('UUID of a person');
export const RiderIdSchema = uuid<RiderId>('UUID of a rider (a person)');
export const DriverIdSchema = uuid<DriverId>('UUID of a driver (a person)');
export const TripIdSchema = uuid<TripId>('UUID of a trip');
export const QuoteIdSchema = uuid<QuoteId>('UUID of a quote');
export const PaymentIdSchema = uuid<PaymentId>('UUID of a payment');
export const PaymentMethodIdSchema = uuid<PaymentMethodId>('UUID of a payment method');
export const RefundIdSchema = uuid<RefundId>('UUID of a refund');
export const EventIdSchema = uuid<EventId>('UUID of an event');

/** Path parameters of the routes of one trip or one payment. */
export const TripPath = Type.Object({ id: TripIdSchema });
export const PaymentPath = Type.Object({ id: PaymentIdSchema });
