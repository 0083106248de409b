import type { Migration } from '@platform/postgres/migrate.ts';
import init from './0001_init.sql' with { type: 'text' };
import simulatedProvider from './0002_simulated_provider.sql' with { type: 'text' };
import authorisedTrips from './0003_authorised_trips.sql' with { type: 'text' };

export const migrations: readonly Migration[] = [
  { name: '0001_init', sql: init },
  { name: '0002_simulated_provider', sql: simulatedProvider },
  { name: '0003_authorised_trips', sql: authorisedTrips },
];
