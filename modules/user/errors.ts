import { defineProblems } from '@platform/problems.ts';

export const userProblem = defineProblems({
  'user.email_taken': ['conflict', 'There is an account with this email'],
  'user.not_found': ['not_found', 'There is no such person'],
  // One code for an unknown email and for a wrong password: who has an account is nobody's business.
  'auth.credentials_invalid': ['unauthenticated', 'Email or password is wrong'],
  'auth.login_throttled': ['too_many', 'Too many failed logins; wait a while'],
  'auth.account_banned': ['forbidden', 'This account is banned'],
  'user.ban_self': ['conflict', 'Nobody bans themselves'],
  'auth.refresh_invalid': ['unauthenticated', 'The refresh token is not valid; log in again'],
});
