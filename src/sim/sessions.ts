import { timestamp } from '@contracts/common.ts';
import type { DomainEvent, SignedOut } from '@contracts/events.ts';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { Role } from '@contracts/people.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import { fault } from '@platform/faults.ts';
import { createIds } from '@platform/ids.ts';
import { Value } from '@sinclair/typebox/value';
import type { Broker } from './broker.ts';
import { randomFor } from './faults.ts';
import type { Scheduler } from './scheduler.ts';

/** What the other contexts see of the user context: whose session has ended. Tokens say who they are of. */
export interface Sessions {
  verifier: Verifier;
  /** Ends the only session of a person, and publishes it. */
  end(person: { id: string; role: Role; session: number }, cause: SignedOut['cause']): void;
  isBanned(personId: string): boolean;
}

export interface SessionsOptions {
  seed: number;
  scheduler: Scheduler;
  broker: Broker;
}

// The list of ended sessions is asked for once a second, and believed for three.
const revocationMs = { least: 100, most: 3_000 };
const relayPauseMs = 500;

/** `rider.<id>.<n>`: the n-th session of that person. */
export const tokenOf = (role: Role, id: string, session: number): string => `${role}.${id}.${session}`;

export function createSessions({ seed, scheduler, broker }: SessionsOptions): Sessions {
  const scope = scheduler.scope('user');
  const clock = scheduler.clock(scope);
  const bus = broker.busOf(scope);
  const ids = createIds(clock, randomFor(seed, 'user'));
  const endedFromMs = new Map<string, number>();
  const banned = new Set<string>();
  const isEnded = (sessionId: string) => (endedFromMs.get(sessionId) ?? Infinity) <= scheduler.nowMs();

  return {
    verifier: {
      endedSessions: async () => isEnded,
      verify(token) {
        const [role, id = '', session = ''] = token.split('.');
        if (!Value.Check(Role, role)) throw fault('auth.token_invalid');
        const sessionId = `${id}.${session}`;
        if (isEnded(sessionId)) throw fault('auth.token_revoked');
        const personId = id as PersonId;
        return { id: personId, role, name: null, sessionId, expiresAtMs: Number.MAX_SAFE_INTEGER };
      },
    },
    end({ id, role, session }, cause) {
      if (cause === 'banned') banned.add(id);
      const noticedMs = scheduler.between(revocationMs.least, revocationMs.most);
      endedFromMs.set(`${id}.${session}`, scheduler.nowMs() + noticedMs);
      const at = timestamp(scheduler.nowMs());
      const data: SignedOut = { personId: id as PersonId, role, cause, at };
      const event = {
        id: ids<EventId>(),
        type: 'user.signed_out.v1',
        source: 'user',
        subject: id,
        time: at,
        data,
      };
      void publish({ ...event, type: 'user.signed_out.v1' });
    },
    isBanned: (personId) => banned.has(personId),
  };

  /** As a relay does: until the broker has it. */
  async function publish(event: DomainEvent): Promise<void> {
    for (;;) {
      try {
        return await bus.publish([event]);
      } catch {
        await clock.sleep(relayPauseMs);
      }
    }
  }
}
