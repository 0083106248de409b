import type { Database } from './database.ts';

/** Which of these events `consumer` has applied, for as long as its inbox remembers. */
export const findAppliedIn =
  ({ primary: sql }: Database, consumer: string) =>
  async (eventIds: readonly string[]): Promise<ReadonlySet<string>> => {
    const rows = await sql<{ event_id: string }[]>`
      select event_id from inbox where consumer = ${consumer} and event_id = any(${[...eventIds]}::uuid[])`;
    return new Set(rows.map(({ event_id }) => event_id));
  };
