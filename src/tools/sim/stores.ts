import type { PositionIndex, PositionRules } from '@modules/driver/positions/index.ts';
import { createMemoryPositionIndex } from '@modules/driver/positions/memory.ts';
import type { TripFollowers } from '@modules/notification/followers/trip-followers.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import type { Tickets } from '@modules/notification/tickets/tickets.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from '@modules/payment/provider/provider.ts';
import type { Clock } from '@platform/clock.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

// Redis and the payment provider of the simulation. They outlive every instance, and the connections to
// them can fail.

interface StoreConnection {
  scheduler: Scheduler;
  scope: Scope;
  plan: FaultPlan;
  redis: SharedRedis;
}

/** The Redis server that stores positions, inboxes, followers of trips, and tickets. */
export interface SharedRedis {
  /** Until this time it is a replica, which answers reads and rejects writes. */
  demotedUntilMs: number;
}
export const createSharedRedis = (): SharedRedis => ({ demotedUntilMs: 0 });

/** The same for all commands, because one connection keeps their order. */
const storeLatencyMs = 0.4;

const createConnectionError = () =>
  Object.assign(new Error('Connection is closed. (simulated)'), { code: 'ECONNRESET' });

const createReadOnlyError = () =>
  Object.assign(new Error("READONLY You can't write against a read only replica."), { name: 'ReplyError' });
const demotedMs = { min: 500, max: 6_000 };

type StoreFault = 'unavailable' | 'demoted' | 'reply_lost' | undefined;

/** May demote the server; returns the fault that a write meets now. */
function drawWriteFault({ scheduler, plan, redis }: StoreConnection, location: string): StoreFault {
  const demotion = plan.draw('redis.demoted', location);
  if (demotion !== undefined) {
    const durationMs = demotedMs.min + demotion.next() * (demotedMs.max - demotedMs.min);
    redis.demotedUntilMs = scheduler.nowMs() + durationMs;
  }
  return scheduler.nowMs() < redis.demotedUntilMs ? 'demoted' : undefined;
}

/** Runs a command at the store in one step and returns its answer in another. */
function execute<T>(
  { scheduler, scope }: StoreConnection,
  command: () => Promise<T>,
  fault: StoreFault,
): Promise<T> {
  return new Promise((resolve, reject) => {
    scheduler.schedule(storeLatencyMs, scope, async () => {
      if (fault === 'unavailable') return reject(createConnectionError());
      if (fault === 'demoted') return reject(createReadOnlyError());
      const answer = await command();
      scheduler.schedule(storeLatencyMs, scope, () =>
        fault === 'reply_lost' ? reject(createConnectionError()) : resolve(answer),
      );
    });
  });
}

/** The position store, shared by all instances of the driver service. It may lose everything. */
export function createSharedPositions(clock: Clock, rules: PositionRules) {
  let index = createMemoryPositionIndex({ clock, ...rules });
  return {
    connect(connection: StoreConnection): PositionIndex {
      const location = `${connection.scope.name} → positions`;
      const read = <T>(command: () => Promise<T>, fault?: StoreFault) => {
        if (connection.plan.draw('positions.lost', location))
          index = createMemoryPositionIndex({ clock, ...rules });
        return execute(
          connection,
          command,
          (connection.plan.draw('positions.away', location) && 'unavailable') ?? fault,
        );
      };
      const write = <T>(command: () => Promise<T>) => read(command, drawWriteFault(connection, location));
      return {
        record: (updates) => write(() => index.record(updates)),
        setAvailabilities: (availabilities) => write(() => index.setAvailabilities(availabilities)),
        nearest: (query) => read(() => index.nearest(query)),
        sweep: () => index.sweep(),
        ping: async () => undefined,
      };
    },
  };
}
export type SharedPositions = ReturnType<typeof createSharedPositions>;

/** The connection to the inboxes. Every call may create the inbox, so every call is a write. */
export function simulateInbox(inbox: PersonInbox, connection: StoreConnection): PersonInbox {
  const location = `${connection.scope.name} → inbox`;
  const write = <T>(command: () => Promise<T>, fault?: StoreFault) =>
    execute(connection, command, fault ?? drawWriteFault(connection, location));
  return {
    append(personId, event, nowMs) {
      const lost = connection.plan.draw('inbox.reply_lost', location) && 'reply_lost';
      const fault = lost ?? (connection.plan.draw('inbox.away', location) && 'unavailable');
      return write(() => inbox.append(personId, event, nowMs), fault);
    },
    read: (...args) => write(() => inbox.read(...args)),
    lastSeqs: (...args) => write(() => inbox.lastSeqs(...args)),
    ping: async () => undefined,
  };
}

/** The connection to the tickets of live connections. */
export function simulateTickets(tickets: Tickets, connection: StoreConnection): Tickets {
  const location = `${connection.scope.name} → tickets`;
  return {
    save: (...args) => execute(connection, () => tickets.save(...args), drawWriteFault(connection, location)),
    // Answered at once, because the step that opens a live connection ends only with the answer.
    async redeem(ticket) {
      if (drawWriteFault(connection, location) !== undefined) throw createReadOnlyError();
      return tickets.redeem(ticket);
    },
  };
}

/** The connection to the followers of trips. */
export function simulateTripFollowers(followers: TripFollowers, connection: StoreConnection): TripFollowers {
  const location = `${connection.scope.name} → followers`;
  return {
    record: (update) =>
      execute(connection, () => followers.record(update), drawWriteFault(connection, location)),
    find: (driverIds) => execute(connection, () => followers.find(driverIds), undefined),
  };
}

/** The connection to the payment provider, which keeps records of its own. */
export function simulateProvider(provider: PaymentProvider, connection: StoreConnection): PaymentProvider {
  const { scheduler, scope, plan } = connection;
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];

  async function perform(
    operation: string,
    { idempotencyKey, reference }: { idempotencyKey: string; reference: string },
    command: () => Promise<ProviderAnswer>,
  ): Promise<ProviderAnswer> {
    const location = `${scope.name} → provider: ${operation}`;
    const clock = scheduler.createClock(scope);
    if (plan.draw('provider.unheard', location)) return { kind: 'unknown' };
    const slow = plan.draw('provider.slow', location);
    if (slow !== undefined) await clock.sleep(500 + slow.next() * 3_000);
    const answer = await command();
    if (plan.draw('provider.twice', location)) {
      const notice = { idempotencyKey, reference, answer };
      scheduler.schedule(scheduler.randomBetween(1, 3_000), scope, () => {
        for (const listener of listeners) listener(notice).catch(() => undefined);
      });
    }
    return plan.draw('provider.answer_lost', location) ? { kind: 'unknown' } : answer;
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
