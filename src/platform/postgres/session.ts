import { headers } from '@contracts/common.ts';

/** A place in the write-ahead log of one PostgreSQL server, in bytes from its beginning. */
export type Position = number;

/**
 * What one caller has seen of each context, so that the next read shows nothing older. It travels as
 * an opaque token: an answer carries it, and a client that sends it back with its next request need
 * not have the primary asked.
 */
export interface Session {
  /** The client sends tokens: it wants one back with each answer. */
  readonly kept: boolean;
  /** By context; for those that are missing nothing is assumed, and the primary is asked. */
  readonly positions: Map<string, Position>;
  /** A read has noted what it saw. */
  read: boolean;
}

/** Of somebody who has seen nothing yet. */
export const newSession = (kept = false): Session => ({ kept, positions: new Map(), read: false });

// One part a context: `1.trip-1k2j3h.payment-1k2j3g`. Parts apart, since each context may have a server of its own.
const tokenPattern = /^1(?:\.[a-z]{1,16}-[0-9a-z]{1,11}){1,8}$/;
const tokenCharactersMax = 256;
const radix = 36;

/** A token that can't be read is none: the caller then gets the freshest answer instead of a refusal. */
export function readSession(request: Request): Session {
  const token = request.headers.get(headers.sessionToken);
  const session = newSession(token !== null);
  if (token === null || token.length > tokenCharactersMax || !tokenPattern.test(token)) return session;
  for (const part of token.split('.').slice(1)) {
    const [context = '', position = ''] = part.split('-');
    session.positions.set(context, Number.parseInt(position, radix));
  }
  return session;
}

/** The token of `session`; undefined when it knows nothing. */
export function writeSession({ positions }: Session): string | undefined {
  if (positions.size === 0) return undefined;
  const parts = [...positions].map(([context, position]) => `${context}-${position.toString(radix)}`);
  return `1.${parts.join('.')}`;
}

/** Has `session` never see less of `context` than up to `position`. */
export function raise(session: Session, context: string, position: Position): void {
  session.positions.set(context, Math.max(position, session.positions.get(context) ?? 0));
  session.read = true;
}
