import { createPrimaryReads, type Database } from '@platform/postgres/database.ts';
import postgres from 'postgres';

/** A context's database whose statements are noted, so that their plans can be asked for. */
export interface PlannedDatabase {
  database: Database;
  /** Runs `work`, then gives the plan of each statement that it sent. */
  plansOf(work: () => Promise<unknown>): Promise<string>;
  close(): Promise<void>;
}

export function createPlannedDatabase(url: string, schema: string): PlannedDatabase {
  let sent: { query: string; parameters: unknown[] }[] = [];
  const sql = postgres(url, {
    max: 1,
    connection: { search_path: `"${schema}"` },
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
    debug: (_, query, parameters) => sent.push({ query, parameters }),
  });
  const close = () => sql.end();
  return {
    database: { schema, primary: sql, ...createPrimaryReads(sql), ping: async () => undefined, close },
    async plansOf(work) {
      // The driver's own first statements go before.
      await sql`select 1`;
      sent = [];
      await work();
      const plans: string[] = [];
      for (const { query, parameters } of [...sent]) {
        const rows = await sql.unsafe(
          `explain (costs off) ${query}`,
          parameters as postgres.ParameterOrJSON<never>[],
        );
        plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
      }
      return plans.join('\n\n');
    },
    close,
  };
}
