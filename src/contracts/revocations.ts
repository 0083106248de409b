import { type Static, Type } from '@sinclair/typebox';
import { QueryInteger } from './common.ts';

/** Query of `GET /internal/user/revocations`: revocations after this cursor, oldest first. */
export const RevocationsQuery = Type.Object({
  sinceMs: QueryInteger(0, Number.MAX_SAFE_INTEGER, 0),
  /** The id of the last session received, to tell apart sessions that ended in the same millisecond. */
  afterId: Type.Optional(Type.String({ pattern: '^[0-9a-f-]{36}$' })),
});
export interface RevocationsCursor {
  sinceMs: number;
  afterId?: string;
}

/** What every verifier of access tokens must learn within seconds. */
export const RevocationsPage = Type.Object({
  /** Login sessions that ended recently. Their access tokens are invalid, although they have not expired. */
  sessions: Type.Array(Type.Object({ id: Type.String(), atMs: Type.Integer() })),
  /** True when there are more: query again after the last session of this page. */
  more: Type.Boolean(),
  /** The time up to which this answer is complete, by the clock of the answering service. */
  asOfMs: Type.Integer(),
  /** How long a session must be remembered: the life of an access token. */
  keepMs: Type.Integer({ minimum: 0 }),
  /** Ids of signing keys that were revoked recently. Tokens that they signed are invalid. */
  endedKeyIds: Type.Array(Type.String()),
});
export type RevocationsPage = Static<typeof RevocationsPage>;
