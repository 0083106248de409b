import { headers } from '@contracts/common.ts';

/** A log sequence number: a byte offset in the write-ahead log of one PostgreSQL server. */
export type Lsn = number;

/**
 * What one client has seen of each context, so that its next read returns nothing older. It travels as an opaque
 * header: a response carries it, and when the client sends it back with the next request, that request need not ask
 * the primary.
 */
export interface ReadConsistencyToken {
  /** Whether the client sent the header, and so wants one back with each response. */
  readonly isRequested: boolean;
  /** For a context without an entry, the primary is asked. */
  readonly lsnByContext: Map<string, Lsn>;
  /** Whether a read has raised an LSN. */
  isRaised: boolean;
}

/** The token of a client that has seen nothing yet. */
export const createReadConsistencyToken = (isRequested = false): ReadConsistencyToken => ({
  isRequested,
  lsnByContext: new Map(),
  isRaised: false,
});

// One part for each context, since each may have a server of its own: `1.trip-1k2j3h.payment-1k2j3g`.
const headerPattern = /^1(?:\.[a-z]{1,16}-[0-9a-z]{1,11}){1,8}$/;
const headerCharactersMax = 256;
const radix = 36;

/** A header that cannot be parsed counts as none: the client then reads the newest state instead of getting an error. */
export function parseReadConsistencyToken(request: Request): ReadConsistencyToken {
  const header = request.headers.get(headers.readConsistencyToken);
  const token = createReadConsistencyToken(header !== null);
  if (header === null || header.length > headerCharactersMax || !headerPattern.test(header)) return token;
  for (const part of header.split('.').slice(1)) {
    const [context = '', lsn = ''] = part.split('-');
    token.lsnByContext.set(context, Number.parseInt(lsn, radix));
  }
  return token;
}

/** Formats the token for the header. Returns undefined when it has no LSN. */
export function formatReadConsistencyToken({ lsnByContext }: ReadConsistencyToken): string | undefined {
  if (lsnByContext.size === 0) return undefined;
  const parts = [...lsnByContext].map(([context, lsn]) => `${context}-${lsn.toString(radix)}`);
  return `1.${parts.join('.')}`;
}

/** Raises the token's LSN of `context`, so that later reads return at least that much. */
export function raiseLsn(token: ReadConsistencyToken, context: string, lsn: Lsn): void {
  token.lsnByContext.set(context, Math.max(lsn, token.lsnByContext.get(context) ?? 0));
  token.isRaised = true;
}
