import type { Role } from '@contracts/people.ts';
import { Elysia } from 'elysia';
import { problem } from '../problems.ts';
import type { Principal, Verifier } from './verifier.ts';

/**
 * Deny by default: a route declares the roles that may call it (`{ role: 'rider' }` or `{ role: ['rider', 'driver'] }`)
 * and gets `principal`, or it declares `{ open: true }`. The roles also appear in the OpenAPI document (`x-roles`).
 * Access is checked before the request is validated.
 */
export function createGuard(verifier: Pick<Verifier, 'verify'>) {
  const principals = new WeakMap<Request, Principal>();

  return new Elysia({ name: 'guard' }).macro({
    role: (allowed: Role | readonly Role[]) => ({
      detail: { security: [{ bearer: [] }], 'x-roles': [allowed].flat() },
      async transform({ request }) {
        principals.set(request, await authorise(verifier, request, [allowed].flat()));
      },
      resolve({ request }) {
        const principal = principals.get(request);
        if (principal === undefined) throw problem('auth.token_missing');
        return { principal };
      },
    }),
    open: (_: true) => ({ detail: { security: [], 'x-roles': [] } }),
  });
}
export type Guard = ReturnType<typeof createGuard>;

/** Returns the bearer token of an Authorization header. Throws `auth.token_missing`. */
export function bearerToken(authorization: string | null | undefined): string {
  const header = authorization ?? '';
  // Slices instead of splitting, which would allocate an array for each request.
  const isBearer = header.startsWith('Bearer ') || header.slice(0, scheme.length).toLowerCase() === scheme;
  if (!isBearer) throw problem('auth.token_missing');
  let start = scheme.length;
  // One or more spaces (RFC 9110, section 11.4).
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
  const principal = await verifier.verify(bearerToken(request.headers.get('authorization')));
  if (!allowed.includes(principal.role)) throw problem('auth.role_forbidden');
  return principal;
}
