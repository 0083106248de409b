import { defineFaults } from '@platform/faults.ts';

export const fault = defineFaults({
  'limit.exceeded': ['too_many', 'Too many requests; slow down'],
  'upstream.unavailable': ['unavailable', 'The service behind this route is not available; try again soon'],
  'upstream.timeout': [
    'unavailable',
    'The service behind this route did not answer in time; the outcome is not known',
  ],
  'realtime.refused': ['forbidden', 'The realtime connection was refused: get a new ticket'],
});
