import { defineProblems } from '@platform/problems.ts';

export const notificationProblem = defineProblems({
  'realtime.ticket_invalid': ['unauthenticated', 'The ticket is unknown, used or expired; ask for a new one'],
  'realtime.origin_forbidden': ['forbidden', 'Pages of this origin may not connect'],
  'realtime.upgrade_needed': ['invalid', 'This address speaks WebSocket only'],
  'realtime.full': ['unavailable', 'This instance holds all the connections it may; connect again'],
  'realtime.restarting': ['unavailable', 'This instance is stopping; connect again'],
});

/** Codes of error frames: what a live connection is told while it stays open. */
export type FrameErrorCode =
  | 'realtime.frame_malformed' // not a JSON object in a text frame
  | 'realtime.frame_invalid' // no frame that the protocol knows
  | 'realtime.too_many_frames'
  | 'realtime.ack_unsent'
  | 'realtime.resume_under_way'
  | 'realtime.role_forbidden'
  | 'service.unavailable';
