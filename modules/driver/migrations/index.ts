import type { Migration } from '@platform/postgres/migrate.ts';
import init from './0001_init.sql' with { type: 'text' };
import retention from './0002_retention.sql' with { type: 'text' };
import tripTracks from './0003_trip_tracks.sql' with { type: 'text' };
import requestedAt from './0004_requested_at.sql' with { type: 'text' };
import trackAccuracy from './0005_track_accuracy.sql' with { type: 'text' };

export const migrations: readonly Migration[] = [
  { name: '0001_init', sql: init },
  { name: '0002_retention', sql: retention },
  { name: '0003_trip_tracks', sql: tripTracks },
  { name: '0004_requested_at', sql: requestedAt },
  { name: '0005_track_accuracy', sql: trackAccuracy },
];
