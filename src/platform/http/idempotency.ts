import { headers } from '@contracts/common.ts';
import type { PersonId } from '@contracts/ids.ts';
import type { Ids } from '../ids.ts';
import type { IdempotencyKey } from '../postgres/statements.ts';
import { problem } from '../problems.ts';

const keyPattern = /^[\x21-\x7e]{1,200}$/;

/**
 * Reads the Idempotency-Key of a POST that creates something, with a digest of route and body. A request
 * without the header gets a new random key, so it never counts as a repeat. Throws `idempotency.key_invalid`.
 */
export function readIdempotencyKey(
  request: Request,
  body: unknown,
  personId: PersonId,
  ids: Ids,
): IdempotencyKey {
  const key = request.headers.get(headers.idempotencyKey) ?? ids<string>();
  if (!keyPattern.test(key)) throw problem('idempotency.key_invalid');
  const digestInput = `${request.method} ${new URL(request.url).pathname} ${canonicalJson(body)}`;
  const fingerprint = new Bun.CryptoHasher('sha256').update(digestInput).digest('base64url');
  return { personId, key, fingerprint };
}

/** JSON with sorted keys, because the order of fields does not make a different request. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
