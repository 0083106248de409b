import { defineFaults } from '@platform/faults.ts';

export const fault = defineFaults({
  'limit.exceeded': ['too_many', 'Too many requests; slow down'],
  'edge.overloaded': ['unavailable', 'More is asked for than can be served; try again in a moment'],
  'upstream.unavailable': ['unavailable', 'The service behind this route is not available; try again soon'],
  'upstream.timeout': [
    'unavailable',
    'The service behind this route did not answer in time; the outcome is not known',
  ],
  'upstream.lost': [
    'unavailable',
    'The service behind this route was lost before its answer; the outcome is not known',
  ],
  'host.unknown': ['invalid', 'This is not a name that we answer to'],
});
