import { Type } from '@sinclair/typebox';

/**
 * The priority of a request under overload, the most important first: 1 trips in progress, payments and operators,
 * 2 new trips and login, 3 positions, 4 everything that can wait (lists, history, nearby drivers).
 */
export const priorities = [1, 2, 3, 4] as const;
export type Priority = (typeof priorities)[number];

/** Requests of one class share a rate limit for each client. `document` is for the API documents of a process. */
export const limitClasses = ['auth', 'position', 'read', 'write', 'realtime', 'document'] as const;
export type LimitClass = (typeof limitClasses)[number];

/**
 * Whether a request may be sent again when its outcome is unknown. `always` is right for idempotent methods
 * (RFC 9110, section 9.2.2), `with_key` for a POST whose handler stores the Idempotency-Key.
 */
export const repeatabilities = ['always', 'with_key', 'never'] as const;
export type Repeatability = (typeof repeatabilities)[number];

/** What a public route declares for the edge in its `detail`. Its `role` or `open` says whether it needs a token. */
export interface EdgePolicy {
  limitClass: LimitClass;
  priority: Priority;
  repeatability: Repeatability;
}

/** The policy as a part of a route's `detail`. It appears in no API document. */
export const edgePolicy = (policy: EdgePolicy): { 'x-edge': EdgePolicy } => ({ 'x-edge': policy });

const oneOf = <Value extends string | number>(values: readonly Value[]) =>
  Type.Union(values.map((value) => Type.Literal(value)));

/** The detail of a public route: its policy, and the roles that may call it. No role means that it is open. */
export const PublicRouteDetail = Type.Object({
  'x-edge': Type.Object({
    limitClass: oneOf(limitClasses),
    priority: oneOf(priorities),
    repeatability: oneOf(repeatabilities),
  }),
  'x-roles': Type.Array(Type.String()),
});
