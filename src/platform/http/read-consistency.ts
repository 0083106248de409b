import { headers } from '@contracts/common.ts';
import type { Database } from '../postgres/database.ts';
import {
  formatReadConsistencyToken,
  parseReadConsistencyToken,
  type ReadConsistencyToken,
} from '../postgres/read-consistency.ts';

const tokens = new WeakMap<Request, ReadConsistencyToken>();

/** The read consistency token of `request`. Its handler passes it to the database with each read. */
export function readConsistencyTokenOf(request: Request): ReadConsistencyToken {
  let token = tokens.get(request);
  if (token === undefined) {
    token = parseReadConsistencyToken(request);
    tokens.set(request, token);
  }
  return token;
}

interface HandledRequest {
  request: Request;
  set: { headers: Record<string, string | number | string[] | undefined> };
}

/**
 * A hook after each handler of a context that reads from replicas. It adds the read consistency token to the
 * response to every write, and to every response to a client that sent a token. The statement of a write can't
 * return the LSN of its own commit record, so the primary is asked afterwards, once for all writes that end
 * at the same time.
 */
export function sendReadConsistencyToken(database: Database) {
  return async ({ request, set }: HandledRequest): Promise<void> => {
    const token = readConsistencyTokenOf(request);
    const isWrite = request.method !== 'GET' && request.method !== 'HEAD';
    if (!isWrite && !token.isRequested) return;
    if (isWrite || !token.isRaised) await database.raiseToCommitted(token);
    const header = formatReadConsistencyToken(token);
    if (header !== undefined) set.headers[headers.readConsistencyToken] = header;
  };
}
