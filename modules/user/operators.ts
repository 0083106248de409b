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
  /** Called after each write that may have added an event to the outbox, so that the relay publishes it at once. */
  onEventWritten: () => void;
}

export interface AccountRecord {
  account: Account;
  actions: OperatorAction[];
}

export type OperatorService = ReturnType<typeof createOperatorService>;

/** The use cases of operators for people and signing keys. Each action is stored with operator and reason. */
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

    /** Ends every session of the person and refuses their logins. Throws `user.not_found`, `user.ban_self`. */
    async ban(operatorId: PersonId, personId: PersonId, reason: string): Promise<AccountRecord> {
      if (operatorId === personId) throw userProblem('user.ban_self');
      await store.ban({ ...newAction(operatorId, reason), personId }, ids<EventId>());
      onEventWritten();
      log.info({ operatorId, personId }, 'banned person');
      return recordOf(await store.find(personId));
    },

    /** Throws `user.not_found`. */
    async unban(operatorId: PersonId, personId: PersonId, reason: string): Promise<AccountRecord> {
      await store.unban({ ...newAction(operatorId, reason), personId });
      log.info({ operatorId, personId }, 'unbanned person');
      return recordOf(await store.find(personId));
    },

    /** Records the action before the rotation, so that an outage in between does not hide who did it. */
    async rotateKeys(operatorId: PersonId, reason: string, compromised: boolean): Promise<KeyRotation> {
      await store.recordKeyRotation(newAction(operatorId, reason));
      log.warn({ operatorId, compromised }, 'operator requested a new signing key');
      return keyring.rotate(!compromised);
    },
  };

  function newAction(operatorId: PersonId, reason: string) {
    return { id: ids<string>(), operatorId, reason, atMs: clock.nowMs() };
  }

  async function recordOf(account: Account | undefined): Promise<AccountRecord> {
    if (account === undefined) throw userProblem('user.not_found');
    return { account, actions: await store.findActionsOn(account.id) };
  }
}
