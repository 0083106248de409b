import type { PositionIndex, PositionRules } from '@modules/driver/positions/index.ts';
import { createMemoryPositionIndex } from '@modules/driver/positions/memory.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from '@modules/payment/provider.ts';
import type { Clock } from '@platform/clock.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

// What Redis and the payment provider are in the simulation: they outlive every instance, and the way
// to them can break.

interface Way {
  scheduler: Scheduler;
  scope: Scope;
  plan: FaultPlan;
}

/** The same for all commands: one connection keeps its order. */
const storeLatencyMs = 0.4;

const away = () => Object.assign(new Error('Connection is closed. (simulated)'), { code: 'ECONNRESET' });

/** Runs `act` at the store and gives its answer, each by an event of its own. */
function ask<T>(
  { scheduler, scope }: Way,
  act: () => Promise<T>,
  harm: 'away' | 'reply_lost' | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    scheduler.after(storeLatencyMs, scope, async () => {
      if (harm === 'away') return reject(away());
      const answer = await act();
      scheduler.after(storeLatencyMs, scope, () =>
        harm === 'reply_lost' ? reject(away()) : resolve(answer),
      );
    });
  });
}

/** The positions' store: shared by all instances of the driver service, and it may lose everything. */
export function createSharedPositions(clock: Clock, rules: PositionRules) {
  let index = createMemoryPositionIndex({ clock, ...rules });
  return {
    of(way: Way): PositionIndex {
      const where = `${way.scope.name} → positions`;
      const call = <T>(act: () => Promise<T>) => {
        if (way.plan.strikes('positions.lost', where)) index = createMemoryPositionIndex({ clock, ...rules });
        return ask(way, act, way.plan.strikes('positions.away', where) && 'away');
      };
      return {
        record: (updates) => call(() => index.record(updates)),
        setStandings: (standings) => call(() => index.setStandings(standings)),
        nearest: (query) => call(() => index.nearest(query)),
        sweep: () => index.sweep(),
        ping: async () => undefined,
      };
    },
  };
}
export type SharedPositions = ReturnType<typeof createSharedPositions>;

/** The way to the people's inboxes. */
export function inboxOver(inbox: PersonInbox, way: Way): PersonInbox {
  const where = `${way.scope.name} → inbox`;
  return {
    append(personId, event, nowMs) {
      const lost = way.plan.strikes('inbox.reply_lost', where) && 'reply_lost';
      const harm = lost ?? (way.plan.strikes('inbox.away', where) && 'away');
      return ask(way, () => inbox.append(personId, event, nowMs), harm);
    },
    read: (...asked) => ask(way, () => inbox.read(...asked), undefined),
    lastSeqs: (...asked) => ask(way, () => inbox.lastSeqs(...asked), undefined),
    ping: async () => undefined,
  };
}

/** The way to the payment provider, which keeps its own records and so knows better than the wire. */
export function providerOver(provider: PaymentProvider, way: Way): PaymentProvider {
  const { scheduler, scope, plan } = way;
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];

  async function perform(
    operation: string,
    { idempotencyKey, reference }: { idempotencyKey: string; reference: string },
    act: () => Promise<ProviderAnswer>,
  ): Promise<ProviderAnswer> {
    const where = `${scope.name} → provider: ${operation}`;
    const clock = scheduler.clock(scope);
    if (plan.strikes('provider.unheard', where)) return { kind: 'unknown' };
    const slow = plan.strikes('provider.slow', where);
    if (slow !== undefined) await clock.sleep(500 + slow.next() * 3_000);
    const answer = await act();
    if (plan.strikes('provider.twice', where)) {
      const notice = { idempotencyKey, reference, answer };
      scheduler.after(scheduler.between(1, 3_000), scope, () => {
        for (const listener of listeners) listener(notice).catch(() => undefined);
      });
    }
    return plan.strikes('provider.answer_lost', where) ? { kind: 'unknown' } : answer;
  }

  return {
    describe: (token) => provider.describe(token),
    authorise: (request) => perform('authorise', request, () => provider.authorise(request)),
    capture: (request) => perform('capture', request, () => provider.capture(request)),
    refund: (request) => perform('refund', request, () => provider.refund(request)),
    find: (key) => provider.find(key),
    listen(listener) {
      listeners.push(listener);
      provider.listen(listener);
    },
  };
}
