import type { PositionIndex, PositionRules } from '@modules/driver/positions/index.ts';
import { createMemoryPositionIndex } from '@modules/driver/positions/memory.ts';
import type { TripFollowers } from '@modules/notification/followers/trip-followers.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import type { Tickets } from '@modules/notification/tickets/tickets.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from '@modules/payment/provider/provider.ts';
import type { Clock } from '@platform/clock.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

// What Redis and the payment provider are in the simulation: they outlive every instance, and the way
// to them can break.

interface Way {
  scheduler: Scheduler;
  scope: Scope;
  plan: FaultPlan;
  redis: SharedRedis;
}

/** The server that positions, inboxes, rides and tickets are in. */
export interface SharedRedis {
  /** Until then it is a replica: it answers reads and refuses writes. */
  demotedUntilMs: number;
}
export const createSharedRedis = (): SharedRedis => ({ demotedUntilMs: 0 });

/** The same for all commands: one connection keeps its order. */
const storeLatencyMs = 0.4;

const away = () => Object.assign(new Error('Connection is closed. (simulated)'), { code: 'ECONNRESET' });

const readOnly = () =>
  Object.assign(new Error("READONLY You can't write against a read only replica."), { name: 'ReplyError' });
const demotedMs = { least: 500, most: 6_000 };

type Harm = 'away' | 'demoted' | 'reply_lost' | undefined;

/** What a write meets at the server. */
function demotion({ scheduler, plan, redis }: Way, where: string): Harm {
  const struck = plan.draw('redis.demoted', where);
  if (struck !== undefined) {
    const lastsMs = demotedMs.least + struck.next() * (demotedMs.most - demotedMs.least);
    redis.demotedUntilMs = scheduler.nowMs() + lastsMs;
  }
  return scheduler.nowMs() < redis.demotedUntilMs ? 'demoted' : undefined;
}

/** Runs `act` at the store and gives its answer, each by an event of its own. */
function ask<T>({ scheduler, scope }: Way, act: () => Promise<T>, harm: Harm): Promise<T> {
  return new Promise((resolve, reject) => {
    scheduler.schedule(storeLatencyMs, scope, async () => {
      if (harm === 'away') return reject(away());
      if (harm === 'demoted') return reject(readOnly());
      const answer = await act();
      scheduler.schedule(storeLatencyMs, scope, () =>
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
      const read = <T>(act: () => Promise<T>, harm?: Harm) => {
        if (way.plan.draw('positions.lost', where)) index = createMemoryPositionIndex({ clock, ...rules });
        return ask(way, act, (way.plan.draw('positions.away', where) && 'away') ?? harm);
      };
      const write = <T>(act: () => Promise<T>) => read(act, demotion(way, where));
      return {
        record: (updates) => write(() => index.record(updates)),
        setAvailabilities: (standings) => write(() => index.setAvailabilities(standings)),
        nearest: (query) => read(() => index.nearest(query)),
        sweep: () => index.sweep(),
        ping: async () => undefined,
      };
    },
  };
}
export type SharedPositions = ReturnType<typeof createSharedPositions>;

/** The way to the people's inboxes. Each call may make the inbox, so each is a write. */
export function simulateInbox(inbox: PersonInbox, way: Way): PersonInbox {
  const where = `${way.scope.name} → inbox`;
  const write = <T>(act: () => Promise<T>, harm?: Harm) => ask(way, act, harm ?? demotion(way, where));
  return {
    append(personId, event, nowMs) {
      const lost = way.plan.draw('inbox.reply_lost', where) && 'reply_lost';
      const harm = lost ?? (way.plan.draw('inbox.away', where) && 'away');
      return write(() => inbox.append(personId, event, nowMs), harm);
    },
    read: (...asked) => write(() => inbox.read(...asked)),
    lastSeqs: (...asked) => write(() => inbox.lastSeqs(...asked)),
    ping: async () => undefined,
  };
}

/** The way to the tickets of live connections. */
export function simulateTickets(tickets: Tickets, way: Way): Tickets {
  const where = `${way.scope.name} → tickets`;
  return {
    save: (...asked) => ask(way, () => tickets.save(...asked), demotion(way, where)),
    // Answered at once: the step that opens a live connection ends only with its answer.
    async redeem(ticket) {
      if (demotion(way, where) !== undefined) throw readOnly();
      return tickets.redeem(ticket);
    },
  };
}

/** The way to who rides with whom. */
export function simulateRides(rides: TripFollowers, way: Way): TripFollowers {
  const where = `${way.scope.name} → rides`;
  return {
    record: (ride) => ask(way, () => rides.record(ride), demotion(way, where)),
    find: (driverIds) => ask(way, () => rides.find(driverIds), undefined),
  };
}

/** The way to the payment provider, which keeps its own records and so knows better than the wire. */
export function simulateProvider(provider: PaymentProvider, way: Way): PaymentProvider {
  const { scheduler, scope, plan } = way;
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];

  async function perform(
    operation: string,
    { idempotencyKey, reference }: { idempotencyKey: string; reference: string },
    act: () => Promise<ProviderAnswer>,
  ): Promise<ProviderAnswer> {
    const where = `${scope.name} → provider: ${operation}`;
    const clock = scheduler.createClock(scope);
    if (plan.draw('provider.unheard', where)) return { kind: 'unknown' };
    const slow = plan.draw('provider.slow', where);
    if (slow !== undefined) await clock.sleep(500 + slow.next() * 3_000);
    const answer = await act();
    if (plan.draw('provider.twice', where)) {
      const notice = { idempotencyKey, reference, answer };
      scheduler.schedule(scheduler.randomBetween(1, 3_000), scope, () => {
        for (const listener of listeners) listener(notice).catch(() => undefined);
      });
    }
    return plan.draw('provider.answer_lost', where) ? { kind: 'unknown' } : answer;
  }

  return {
    describeCard: (token) => provider.describeCard(token),
    authorise: (request) => perform('authorise', request, () => provider.authorise(request)),
    capture: (request) => perform('capture', request, () => provider.capture(request)),
    refund: (request) => perform('refund', request, () => provider.refund(request)),
    void: (request) => perform('void', request, () => provider.void(request)),
    list: (reference) => provider.list(reference),
    onNotice(listener) {
      listeners.push(listener);
      provider.onNotice(listener);
    },
  };
}
