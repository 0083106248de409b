import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent, SignedOut } from '@contracts/events.ts';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { Role } from '@contracts/people.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import { createIds } from '@platform/ids.ts';
import { problem } from '@platform/problems.ts';
import { Value } from '@sinclair/typebox/value';
import type { SimBroker } from './broker.ts';
import { createNamedRandom } from './faults.ts';
import type { Scheduler } from './scheduler.ts';

/** The parts of the user context that other contexts see: tokens, and which login sessions have ended. */
export interface SimLoginSessions {
  verifier: Verifier;
  /** Ends the only login session of a person and publishes the event. */
  end(person: { id: string; role: Role; loginNumber: number }, cause: SignedOut['cause']): void;
  isBanned(personId: string): boolean;
}

export interface SimLoginSessionsOptions {
  seed: number;
  scheduler: Scheduler;
  broker: SimBroker;
}

// Services load the list of ended sessions once a second and use it for up to three seconds.
const revocationMs = { min: 100, max: 3_000 };
const relayPauseMs = 500;

/** `rider.<id>.<n>` is the token of the n-th session of that person. */
export const tokenOf = (role: Role, id: string, session: number): string => `${role}.${id}.${session}`;

export function createSimLoginSessions({
  seed,
  scheduler,
  broker,
}: SimLoginSessionsOptions): SimLoginSessions {
  const scope = scheduler.createScope('user');
  const clock = scheduler.createClock(scope);
  const bus = broker.createBus(scope);
  const ids = createIds(clock, createNamedRandom(seed, 'user'));
  const endedAtMs = new Map<string, number>();
  const banned = new Set<string>();
  const isEnded = (sessionId: string) => (endedAtMs.get(sessionId) ?? Infinity) <= scheduler.nowMs();

  return {
    verifier: {
      loadRevokedSessions: async () => isEnded,
      verify(token) {
        const [role, id = '', session = ''] = token.split('.');
        if (!Value.Check(Role, role)) throw problem('auth.token_invalid');
        const sessionId = `${id}.${session}`;
        if (isEnded(sessionId)) throw problem('auth.token_revoked');
        const personId = id as PersonId;
        return { id: personId, role, name: null, sessionId, expiresAtMs: Number.MAX_SAFE_INTEGER };
      },
    },
    end({ id, role, loginNumber }, cause) {
      if (cause === 'banned') banned.add(id);
      const propagationMs = scheduler.randomBetween(revocationMs.min, revocationMs.max);
      endedAtMs.set(`${id}.${loginNumber}`, scheduler.nowMs() + propagationMs);
      const at = formatTimestamp(scheduler.nowMs());
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

  /** Publishes like a relay: again until the broker has confirmed. */
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
