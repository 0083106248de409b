import { headers } from '@contracts/common.ts';
import type { PersonId } from '@contracts/ids.ts';
import type { Ids } from '../ids.ts';
import type { IdempotencyKey } from '../postgres/statements.ts';
import { problem } from '../problems.ts';

const keyPattern = /^[\x21-\x7e]{1,200}$/;

/**
 * The Idempotency-Key of a POST that creates, with a digest of route and body. A request without the
 * header gets a key of its own: it is simply never repeated. Throws `idempotency.key_invalid`.
 */
export function readIdempotencyKey(
  request: Request,
  body: unknown,
  personId: PersonId,
  ids: Ids,
): IdempotencyKey {
  const key = request.headers.get(headers.idempotencyKey) ?? ids<string>();
  if (!keyPattern.test(key)) throw problem('idempotency.key_invalid');
  const asked = `${request.method} ${new URL(request.url).pathname} ${canonical(body)}`;
  const fingerprint = new Bun.CryptoHasher('sha256').update(asked).digest('base64url');
  return { personId, key, fingerprint };
}

/** JSON with sorted keys: the order of fields makes no other request. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
