import { defineProblems } from '@platform/problems.ts';

export const fault = defineProblems({
  'limit.exceeded': ['too_many', 'Too many requests; slow down'],
  'edge.overloaded': ['unavailable', 'More is asked for than can be served; try again in a moment'],
  'host.unknown': ['invalid', 'This is not a name that we answer to'],
});
