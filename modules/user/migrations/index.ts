import type { Migration } from '@platform/postgres/migrate.ts';
import init from './0001_init.sql' with { type: 'text' };
import identity from './0002_identity.sql' with { type: 'text' };
import emails from './0003_emails.sql' with { type: 'text' };

export const userMigrations: readonly Migration[] = [
  { name: '0001_init', sql: init },
  { name: '0002_identity', sql: identity },
  { name: '0003_emails', sql: emails },
];
