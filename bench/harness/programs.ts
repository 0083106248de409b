import type { ServerProgram } from '../../src/tools/servers/index.ts';

// Load generators and baselines that a bench runs beside the system; they are installed before it starts.

export const wrk: ServerProgram = { name: 'wrk', aptPackage: 'wrk', programs: ['wrk'], variables: [] };

export const haproxy: ServerProgram = {
  name: 'HAProxy',
  aptPackage: 'haproxy',
  programs: ['haproxy'],
  variables: [],
};

export const redisBenchmark: ServerProgram = {
  name: 'redis-benchmark',
  aptPackage: 'redis-tools',
  programs: ['redis-benchmark'],
  variables: [],
};
