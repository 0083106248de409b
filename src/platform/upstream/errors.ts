import { defineProblems } from '../problems.ts';

/** `upstream.unavailable`: it was not delivered. The others: it may have been, and nobody knows its outcome. */
export const upstreamProblem = defineProblems({
  'upstream.unavailable': ['unavailable', 'The service behind this route is not available; try again soon'],
  'upstream.timeout': [
    'unavailable',
    'The service behind this route did not answer in time; the outcome is not known',
  ],
  'upstream.lost': [
    'unavailable',
    'The service behind this route was lost before its answer; the outcome is not known',
  ],
});
