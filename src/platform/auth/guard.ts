import type { Role } from '@contracts/people.ts';
import { Elysia } from 'elysia';
import { problem } from '../problems.ts';
import type { Principal, Verifier } from './verifier.ts';

/**
 * Deny by default: a route that wants a person names the roles it lets in (`{ role: 'rider' }` or
 * `{ role: ['rider', 'driver'] }`) and gets `person`; a route that wants nobody says `{ open: true }`.
 * The roles are also told in the OpenAPI document (`x-roles`). Who asks is settled before the shape of
 * what they ask is looked at.
 */
export function createGuard(verifier: Pick<Verifier, 'verify'>) {
  const people = new WeakMap<Request, Principal>();

  return new Elysia({ name: 'guard' }).macro({
    role: (allowed: Role | readonly Role[]) => ({
      detail: { security: [{ bearer: [] }], 'x-roles': [allowed].flat() },
      async transform({ request }) {
        people.set(request, await authorise(verifier, request, [allowed].flat()));
      },
      resolve({ request }) {
        const principal = people.get(request);
        if (principal === undefined) throw problem('auth.token_missing');
        return { principal };
      },
    }),
    open: (_: true) => ({ detail: { security: [], 'x-roles': [] } }),
  });
}
export type Guard = ReturnType<typeof createGuard>;

/** The bearer token of an Authorization header; throws `auth.token_missing`. */
export function bearerToken(authorization: string | null | undefined): string {
  const header = authorization ?? '';
  // Cut, not split: the parts of a list would be copied for each request.
  const isBearer = header.startsWith('Bearer ') || header.slice(0, scheme.length).toLowerCase() === scheme;
  if (!isBearer) throw problem('auth.token_missing');
  let start = scheme.length;
  // One space or more (RFC 9110, section 11.4).
  while (header.charCodeAt(start) === space) start++;
  if (start === header.length) throw problem('auth.token_missing');
  return header.slice(start);
}

const scheme = 'bearer ';
const space = 32;

async function authorise(
  verifier: Pick<Verifier, 'verify'>,
  request: Request,
  allowed: readonly Role[],
): Promise<Principal> {
  const person = await verifier.verify(bearerToken(request.headers.get('authorization')));
  if (!allowed.includes(person.role)) throw problem('auth.role_forbidden');
  return person;
}
