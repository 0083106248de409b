import postgres from 'postgres';
import { createCreationWrites } from '../../modules/trip/store/creations.ts';
import type { Ids } from '../../src/platform/ids.ts';
import type { PgbenchScript } from './pgbench.ts';
import { createSampleCreation } from './sample.ts';

/** The end of every id in the sample. pgbench replaces it with its own number. */
const idTail = '100000000000';

/**
 * Captures the statement that creates one trip, as postgres.js sends it, and turns it into a pgbench script.
 * Parameters stay parameters, and each one that contains an id of the sample gets a new number in each run.
 */
export async function createSingleStatementScript(url: string): Promise<PgbenchScript> {
  let sent: { query: string; parameters: unknown[]; types: number[] } | undefined;
  const sql = postgres(url, {
    max: 1,
    connection: { search_path: '"trip"' },
    debug: (_, query, parameters, types) => {
      if (query.includes('idempotency')) sent = { query, parameters: [...parameters], types: [...types] };
    },
  });
  try {
    await createCreationWrites(sql).create(createSampleCreation(sampleIds()));
    if (sent === undefined) throw new Error('the statement was not captured');
    const { query, parameters } = sent;
    const types = await typesOf(sql, query);
    const variables: Record<string, string> = {};
    const body = query.replaceAll(/\$(\d+)/g, (_, digits: string) => {
      const index = Number(digits) - 1;
      const value = textOf(parameters[index]);
      const type = types[index] ?? 'text';
      if (value === undefined) return `null::${type}`;
      const name = `p${digits}`;
      variables[name] = value;
      return value.includes(idTail) ? `replace(:${name}, '${idTail}', :n)::${type}` : `:${name}::${type}`;
    });
    // Ids rise over all clients together, as time-ordered ids do.
    const steps = ['\\set i :i + 1000', '\\set n :i + :client_id'];
    return {
      text: `${steps.join('\n')}\n${body.replaceAll(/\s+/g, ' ').trim()};\n`,
      variables: { ...variables, i: idTail },
    };
  } finally {
    await sql.end();
  }
}

/** Creates ids with different beginnings and the same end. */
function sampleIds(): Ids {
  let made = 0;
  return <Id extends string>() => `01a2047b-${String(++made).padStart(4, '0')}-7000-8000-${idTail}` as Id;
}

async function typesOf(sql: postgres.Sql, query: string): Promise<string[]> {
  await sql.unsafe(`prepare captured as ${query}`);
  const [row] = await sql<{ types: string[] }[]>`
    select parameter_types::text[] as types from pg_prepared_statements where name = 'captured'`;
  return row?.types ?? [];
}

function textOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'string'
    ? value
    : typeof value === 'number'
      ? String(value)
      : JSON.stringify(value);
}
