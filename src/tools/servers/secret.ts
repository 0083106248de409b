import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const passwordBytes = 18;

/**
 * Returns the password of the server in `dir`. It is created once and stored beside the data, so that the next run
 * finds it. Listening on loopback alone is no protection on a machine with several users: with a superuser login,
 * PostgreSQL and Redis both execute or write anything as their own account.
 */
export const loadOrCreatePassword = (dir: string): string => {
  const file = join(dir, 'password');
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  mkdirSync(dir, { recursive: true });
  const password = randomBytes(passwordBytes).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
};
