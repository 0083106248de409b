import type postgres from 'postgres';

export type Sql = postgres.Sql;
export type Row = postgres.Row;
