import { defineProblems } from '../problems.ts';

/** `upstream.unavailable`: the request was not delivered. The others: it may have been, and its outcome is unknown. */
export const upstreamProblem = defineProblems({
  'upstream.unavailable': ['unavailable', 'Service unavailable, retry later'],
  'upstream.timeout': ['unavailable', 'Service did not answer in time, outcome unknown'],
  'upstream.lost': ['unavailable', 'Connection to the service lost before its answer, outcome unknown'],
});
