import { defineProblems } from '@platform/problems.ts';

export const notificationProblem = defineProblems({
  'realtime.ticket_invalid': ['unauthenticated', 'Ticket is unknown, used or expired; create a new one'],
  'realtime.origin_forbidden': ['forbidden', 'Origin is not allowed'],
  'realtime.upgrade_needed': ['invalid', 'WebSocket upgrade required'],
  'realtime.full': ['unavailable', 'Connection limit of this instance is reached, connect again'],
  'realtime.restarting': ['unavailable', 'Instance is stopping, connect again'],
});

/** Codes of error frames, which are sent while the connection stays open. */
export type FrameErrorCode =
  | 'realtime.frame_malformed' // not a JSON object in a text frame
  | 'realtime.frame_invalid' // not a frame of the protocol
  | 'realtime.too_many_frames'
  | 'realtime.ack_unsent'
  | 'realtime.resume_under_way'
  | 'realtime.role_forbidden'
  | 'service.unavailable';
