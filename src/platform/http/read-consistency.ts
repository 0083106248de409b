import { headers } from '@contracts/common.ts';
import type { Database } from '../postgres/database.ts';
import {
  formatReadConsistencyToken,
  parseReadConsistencyToken,
  type ReadConsistencyToken,
} from '../postgres/read-consistency.ts';

const sessions = new WeakMap<Request, ReadConsistencyToken>();

/** The session that `request` belongs to: for the reads of its handler. */
export function readConsistencyTokenOf(request: Request): ReadConsistencyToken {
  let session = sessions.get(request);
  if (session === undefined) {
    session = parseReadConsistencyToken(request);
    sessions.set(request, session);
  }
  return session;
}

interface Answering {
  request: Request;
  set: { headers: Record<string, string | number | string[] | undefined> };
}

/**
 * Puts the session's token on the answers of a context that reads at replicas, as a hook after each
 * handler: on the answer to every write, and on every answer to a client that sent one. A write's own
 * statement can't tell where its commit record went, so the primary is asked afterwards, once for all
 * writes that end at the same time.
 */
export function sendReadConsistencyToken(database: Database) {
  return async ({ request, set }: Answering): Promise<void> => {
    const session = readConsistencyTokenOf(request);
    const isWrite = request.method !== 'GET' && request.method !== 'HEAD';
    if (!isWrite && !session.isRequested) return;
    if (isWrite || !session.isRaised) await database.raiseToCommitted(session);
    const token = formatReadConsistencyToken(session);
    if (token !== undefined) set.headers[headers.readConsistencyToken] = token;
  };
}
