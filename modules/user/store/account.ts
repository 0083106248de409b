import type { PersonId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';

export interface Account {
  id: PersonId;
  email: string;
  name: string;
  phone: string | null;
  role: Role;
  createdAtMs: number;
  bannedAtMs: number | null;
}

export interface Credentials {
  account: Account;
  passwordHash: string;
}

export interface NewAccount extends Omit<Account, 'bannedAtMs'> {
  passwordHash: string;
}
