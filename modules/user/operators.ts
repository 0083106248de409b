import type { EventId, PersonId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import { userProblem } from './errors.ts';
import type { KeyRotation, Keyring } from './keys/keyring.ts';
import type { Account } from './store/account.ts';
import type { OperatorAction } from './store/operators.ts';
import type { UserStore } from './store/store.ts';

export interface OperatorServiceDeps {
  store: UserStore;
  keyring: Keyring;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Called after a write that may have written an event, so that it leaves at once. */
  onEventWritten: () => void;
}

export interface AccountRecord {
  account: Account;
  actions: OperatorAction[];
}

export type OperatorService = ReturnType<typeof createOperatorService>;

/** What operators may do to people and keys. Each act is kept with its reason and who did it. */
export function createOperatorService({
  store,
  keyring,
  clock,
  ids,
  log,
  onEventWritten,
}: OperatorServiceDeps) {
  return {
    /** Throws `user.not_found`. */
    findRecord: async (id: PersonId): Promise<AccountRecord> => recordOf(await store.find(id)),

    /** Throws `user.not_found`. */
    async findRecordByEmail(email: string): Promise<AccountRecord> {
      return recordOf((await store.findCredentials(email))?.account);
    },

    /** Ends every session of the person and lets them log in no more. Throws `user.not_found`, `user.ban_self`. */
    async ban(operatorId: PersonId, personId: PersonId, reason: string): Promise<AccountRecord> {
      if (operatorId === personId) throw userProblem('user.ban_self');
      await store.ban({ ...act(operatorId, reason), personId }, ids<EventId>());
      onEventWritten();
      log.info({ operatorId, personId }, 'a person was banned');
      return recordOf(await store.find(personId));
    },

    /** Throws `user.not_found`. */
    async unban(operatorId: PersonId, personId: PersonId, reason: string): Promise<AccountRecord> {
      await store.unban({ ...act(operatorId, reason), personId });
      log.info({ operatorId, personId }, 'a person may log in again');
      return recordOf(await store.find(personId));
    },

    /** Noted before it is done: an outage in the middle must not hide who did it. */
    async rotateKeys(operatorId: PersonId, reason: string, compromised: boolean): Promise<KeyRotation> {
      await store.recordKeyRotation(act(operatorId, reason));
      log.warn({ operatorId, compromised }, 'an operator asked for a new signing key');
      return keyring.rotate(!compromised);
    },
  };

  function act(operatorId: PersonId, reason: string) {
    return { id: ids<string>(), operatorId, reason, atMs: clock.nowMs() };
  }

  async function recordOf(account: Account | undefined): Promise<AccountRecord> {
    if (account === undefined) throw userProblem('user.not_found');
    return { account, actions: await store.findActionsOn(account.id) };
  }
}
