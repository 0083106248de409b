import { headers } from '@contracts/common.ts';

/** A place in the write-ahead log of one PostgreSQL server, in bytes from its beginning. */
export type Lsn = number;

/**
 * What one caller has seen of each context, so that the next read shows nothing older. It travels as
 * an opaque token: an answer carries it, and a client that sends it back with its next request need
 * not have the primary asked.
 */
export interface ReadConsistencyToken {
  /** The client sends tokens: it wants one back with each answer. */
  readonly isRequested: boolean;
  /** By context; for those that are missing nothing is assumed, and the primary is asked. */
  readonly lsnByContext: Map<string, Lsn>;
  /** A read has noted what it saw. */
  isRaised: boolean;
}

/** Of somebody who has seen nothing yet. */
export const createReadConsistencyToken = (isRequested = false): ReadConsistencyToken => ({
  isRequested,
  lsnByContext: new Map(),
  isRaised: false,
});

// One part a context: `1.trip-1k2j3h.payment-1k2j3g`. Parts apart, since each context may have a server of its own.
const tokenPattern = /^1(?:\.[a-z]{1,16}-[0-9a-z]{1,11}){1,8}$/;
const tokenCharactersMax = 256;
const radix = 36;

/** A token that can't be read is none: the caller then gets the freshest answer instead of a refusal. */
export function parseReadConsistencyToken(request: Request): ReadConsistencyToken {
  const token = request.headers.get(headers.readConsistencyToken);
  const session = createReadConsistencyToken(token !== null);
  if (token === null || token.length > tokenCharactersMax || !tokenPattern.test(token)) return session;
  for (const part of token.split('.').slice(1)) {
    const [context = '', position = ''] = part.split('-');
    session.lsnByContext.set(context, Number.parseInt(position, radix));
  }
  return session;
}

/** The token of `session`; undefined when it knows nothing. */
export function formatReadConsistencyToken({ lsnByContext }: ReadConsistencyToken): string | undefined {
  if (lsnByContext.size === 0) return undefined;
  const parts = [...lsnByContext].map(([context, position]) => `${context}-${position.toString(radix)}`);
  return `1.${parts.join('.')}`;
}

/** Has `session` never see less of `context` than up to `position`. */
export function raiseLsn(session: ReadConsistencyToken, context: string, position: Lsn): void {
  session.lsnByContext.set(context, Math.max(position, session.lsnByContext.get(context) ?? 0));
  session.isRaised = true;
}
