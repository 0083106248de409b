import { createPrimaryReads, type Database } from '@platform/postgres/database.ts';
import postgres from 'postgres';

/** A context's database that records its statements, so that their plans can be explained. */
export interface PlannedDatabase {
  database: Database;
  /** Runs `work` and returns the plan of each statement that it sent. */
  plansOf(work: () => Promise<unknown>): Promise<string>;
  close(): Promise<void>;
}

export function createPlannedDatabase(url: string, schema: string): PlannedDatabase {
  let statements: { query: string; parameters: unknown[] }[] = [];
  const sql = postgres(url, {
    max: 1,
    connection: { search_path: `"${schema}"` },
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
    debug: (_, query, parameters) => statements.push({ query, parameters }),
  });
  const close = () => sql.end();
  return {
    database: { schema, primary: sql, ...createPrimaryReads(sql), ping: async () => undefined, close },
    async plansOf(work) {
      // The first query of a connection makes postgres.js send statements of its own. They are not recorded.
      await sql`select 1`;
      statements = [];
      await work();
      const plans: string[] = [];
      for (const { query, parameters } of [...statements]) {
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
