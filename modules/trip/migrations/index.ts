import type { Migration } from '@platform/postgres/migrate.ts';
import init from './0001_init.sql' with { type: 'text' };

export const tripMigrations: readonly Migration[] = [{ name: '0001_init', sql: init }];
