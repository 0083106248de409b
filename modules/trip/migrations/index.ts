import type { Migration } from '@platform/postgres/migrate.ts';
import init from './0001_init.sql' with { type: 'text' };
import retention from './0002_retention.sql' with { type: 'text' };
import people from './0003_people.sql' with { type: 'text' };

export const tripMigrations: readonly Migration[] = [
  { name: '0001_init', sql: init },
  { name: '0002_retention', sql: retention },
  { name: '0003_people', sql: people },
];
