import type { Need } from '../../src/cli/servers/index.ts';

// Load generators and baselines that a benchmark runs beside the system; installed before it starts.

export const wrk: Need = { name: 'wrk', aptPackage: 'wrk', programs: ['wrk'], variables: [] };

export const haproxy: Need = { name: 'HAProxy', aptPackage: 'haproxy', programs: ['haproxy'], variables: [] };

export const redisBenchmark: Need = {
  name: 'redis-benchmark',
  aptPackage: 'redis-tools',
  programs: ['redis-benchmark'],
  variables: [],
};
