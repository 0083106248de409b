import { defineProblems } from '@platform/problems.ts';

export const gatewayProblem = defineProblems({
  'limit.exceeded': ['too_many', 'Too many requests'],
  'edge.overloaded': ['unavailable', 'Service overloaded, retry later'],
  'host.unknown': ['invalid', 'Host not allowed'],
});
