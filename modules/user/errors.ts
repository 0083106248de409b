import { defineProblems } from '@platform/problems.ts';

export const userProblem = defineProblems({
  'user.email_taken': ['conflict', 'Email is already registered'],
  'user.not_found': ['not_found', 'Person not found'],
  // One code for an unknown email and for a wrong password, so that nobody can find out who has an account.
  'auth.credentials_invalid': ['unauthenticated', 'Email or password is wrong'],
  'auth.login_throttled': ['too_many', 'Too many failed logins, retry later'],
  'auth.account_banned': ['forbidden', 'Account is banned'],
  'user.ban_self': ['conflict', 'Operators cannot ban themselves'],
  'auth.refresh_invalid': ['unauthenticated', 'Refresh token is not valid, log in again'],
});
