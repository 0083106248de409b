import type { AppliedEvents } from '../context.ts';
import type { Database } from './database.ts';

/** For how long an inbox remembers which events its consumer applied. */
export const inboxRetentionDefaultMs = 7 * 24 * 60 * 60 * 1000;

/** Looks up in the inbox which events `consumer` has applied. */
export const createInboxLookup = ({ primary: sql }: Database, consumer: string): AppliedEvents => ({
  retentionMs: inboxRetentionDefaultMs,
  async find(eventIds) {
    const rows = await sql<{ event_id: string }[]>`
      select event_id from inbox where consumer = ${consumer} and event_id = any(${[...eventIds]}::uuid[])`;
    return new Set(rows.map(({ event_id }) => event_id));
  },
});
