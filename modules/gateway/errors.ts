import { defineFaults } from '@platform/faults.ts';

export const fault = defineFaults({
  'limit.exceeded': ['too_many', 'Too many requests; slow down'],
  'edge.overloaded': ['unavailable', 'More is asked for than can be served; try again in a moment'],
  'upstream.unavailable': ['unavailable', 'The service behind this route is not available; try again soon'],
  'upstream.timeout': [
    'unavailable',
    'The service behind this route did not answer in time; the outcome is not known',
  ],
  'realtime.refused': ['forbidden', 'The realtime connection was refused: get a new ticket'],
});
