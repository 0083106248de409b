import type { Sql } from './database.ts';

/** A column of rows to be written, `values` with one for each row. Name and type go into the statement as they are. */
export interface Column {
  name: string;
  type: string;
  values: readonly (string | number | null)[];
}

/**
 * Rows as a source of a statement: `from ${unnest(sql, 'asked', columns)}`. Each column travels as one
 * array, so the statement is the same text for any number of rows and is prepared once. Give JSON as
 * text and cast it where it is used.
 */
export function unnest(sql: Sql, alias: string, columns: readonly Column[]) {
  const [first, ...rest] = columns.map(({ type, values }) => sql`${values}::${sql.unsafe(type)}[]`);
  if (first === undefined) throw new Error('rows without columns');
  const arrays = rest.reduce((list, next) => sql`${list}, ${next}`, first);
  const names = columns.map(({ name }) => name).join(', ');
  return sql`unnest(${arrays}) as ${sql.unsafe(`${alias} (${names})`)}`;
}
