import postgres from 'postgres';
import { createCreationWrites } from '../../modules/trip/store/creations.ts';
import type { Ids } from '../../src/platform/ids.ts';
import type { PgbenchScript } from './pgbench.ts';
import { createSampleCreation } from './sample.ts';

/** The end of every id of the sample; pgbench puts a number of its own in its place. */
const idTail = '100000000000';

/**
 * The very statement that creates one trip, as our driver sends it, made a pgbench script: parameters
 * stay parameters, and each that holds an id of the sample gets a fresh number in it for each run.
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
    if (sent === undefined) throw new Error('no statement was seen');
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
    // Ids rise together over all clients, as ids by time do.
    const steps = ['\\set i :i + 1000', '\\set n :i + :client_id'];
    return {
      text: `${steps.join('\n')}\n${body.replaceAll(/\s+/g, ' ').trim()};\n`,
      variables: { ...variables, i: idTail },
    };
  } finally {
    await sql.end();
  }
}

/** Ids that differ in their beginning and all end the same. */
function sampleIds(): Ids {
  let made = 0;
  return <Id extends string>() => `01a2047b-${String(++made).padStart(4, '0')}-7000-8000-${idTail}` as Id;
}

async function typesOf(sql: postgres.Sql, query: string): Promise<string[]> {
  await sql.unsafe(`prepare asked as ${query}`);
  const [row] = await sql<{ types: string[] }[]>`
    select parameter_types::text[] as types from pg_prepared_statements where name = 'asked'`;
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
