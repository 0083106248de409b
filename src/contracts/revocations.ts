import { type Static, Type } from '@sinclair/typebox';
import { QueryInteger } from './common.ts';

/** Query of `GET /internal/user/revocations`: everything after this place, oldest first. */
export const RevocationsQuery = Type.Object({
  sinceMs: QueryInteger(0, Number.MAX_SAFE_INTEGER, 0),
  /** Of two sessions that ended in one millisecond: the one that was told last. */
  afterId: Type.Optional(Type.String({ pattern: '^[0-9a-f-]{36}$' })),
});
export interface RevocationsCursor {
  sinceMs: number;
  afterId?: string;
}

/** What every verifier of access tokens needs to hear within seconds. */
export const RevocationsPage = Type.Object({
  /** Sessions that ended lately: their access tokens are good no more, whatever they say themselves. */
  sessions: Type.Array(Type.Object({ id: Type.String(), atMs: Type.Integer() })),
  /** More is known right now: ask again after the last session of this page. */
  more: Type.Boolean(),
  /** The moment up to which this answer is complete, by the clock of who answers. */
  asOfMs: Type.Integer(),
  /** How long a session must be remembered: the life of an access token. */
  keepMs: Type.Integer({ minimum: 0 }),
  /** Keys that ended lately, by id: what they have signed is good no more. */
  endedKeyIds: Type.Array(Type.String()),
});
export type RevocationsPage = Static<typeof RevocationsPage>;
