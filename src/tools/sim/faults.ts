import { createSeededRandom, type Random } from '@platform/random.ts';

/** Every kind of fault: its probability at each occasion, and the most times it is injected in one run. */
export const simFaultKinds = {
  // PostgreSQL: the statement is not sent; it commits and the reply is lost; it takes seconds.
  'sql.not_sent': { probability: 0.004, runMax: 6 },
  'sql.reply_lost': { probability: 0.006, runMax: 8 },
  'sql.slow': { probability: 0.02, runMax: 16 },
  // An instance crashes at a named point; a new one is started on the same database.
  'crash.before_commit': { probability: 0.004, runMax: 2 },
  'crash.after_commit': { probability: 0.006, runMax: 3 },
  'crash.before_ack': { probability: 0.02, runMax: 2 },
  'crash.after_confirm': { probability: 0.03, runMax: 2 },
  // An instance pauses for longer than every lease, then continues what it was doing.
  'pause.before_commit': { probability: 0.005, runMax: 2 },
  'pause.after_commit': { probability: 0.003, runMax: 1 },
  'pause.after_confirm': { probability: 0.02, runMax: 1 },
  // Publishing: refused; stored in part and then refused; stored but the confirm is lost or late; broker unavailable.
  'bus.refused': { probability: 0.05, runMax: 5 },
  'bus.partial': { probability: 0.05, runMax: 4 },
  'bus.confirm_lost': { probability: 0.06, runMax: 5 },
  'bus.confirm_late': { probability: 0.03, runMax: 3 },
  'bus.outage': { probability: 0.01, runMax: 1 },
  // Delivering: duplicated, out of order, late; the acknowledgement is lost.
  'bus.duplicate': { probability: 0.06, runMax: 12 },
  'bus.reorder': { probability: 0.2, runMax: 12 },
  'bus.late': { probability: 0.04, runMax: 8 },
  'bus.ack_lost': { probability: 0.04, runMax: 6 },
  // Calls between services and requests of clients: they never arrive, the reply is lost, they arrive late.
  'call.refused': { probability: 0.04, runMax: 5 },
  'call.reply_lost': { probability: 0.04, runMax: 5 },
  'call.late': { probability: 0.03, runMax: 4 },
  'client.refused': { probability: 0.02, runMax: 6 },
  'client.reply_lost': { probability: 0.04, runMax: 10 },
  'client.late': { probability: 0.02, runMax: 5 },
  // The payment provider: the request never arrives; the reply is lost; it takes too long; it notifies twice.
  'provider.unheard': { probability: 0.08, runMax: 4 },
  'provider.answer_lost': { probability: 0.1, runMax: 5 },
  'provider.slow': { probability: 0.08, runMax: 3 },
  'provider.twice': { probability: 0.15, runMax: 5 },
  // The stores of positions and notifications: unavailable, a reply is lost, all positions are lost.
  'inbox.reply_lost': { probability: 0.03, runMax: 5 },
  'inbox.away': { probability: 0.02, runMax: 4 },
  'positions.away': { probability: 0.02, runMax: 4 },
  'positions.lost': { probability: 0.003, runMax: 1 },
  // Live connections: closed in the middle of a frame.
  'socket.cut': { probability: 0.05, runMax: 6 },
  // Drivers with an offer or a trip: they sign out during the offer, are banned, never send anything again.
  'driver.signed_out': { probability: 0.08, runMax: 2 },
  'driver.banned': { probability: 0.05, runMax: 1 },
  'driver.silent': { probability: 0.04, runMax: 1 },
  // The Redis of positions and live connections rejects writes for some seconds.
  'redis.demoted': { probability: 0.01, runMax: 2 },
} as const satisfies Record<string, { probability: number; runMax: number }>;
export type SimFaultKind = keyof typeof simFaultKinds;
export const allSimFaultKinds = Object.keys(simFaultKinds).filter(
  (kind): kind is SimFaultKind => kind in simFaultKinds,
);

/** A fault that was injected in a run. */
export interface InjectedFault {
  /** The kind and the number of its occasion, `sql.reply_lost#17`: the same in every run of the seed. */
  id: string;
  kind: SimFaultKind;
  location: string;
}

export interface FaultPlan {
  /** Decides whether a fault happens here. If it does, returns a random source for its details. */
  draw(kind: SimFaultKind, location: string): Random | undefined;
  /** The faults injected so far, in order. */
  injected: readonly InjectedFault[];
  /** From now on no fault is injected. */
  stopInjecting(): void;
}

export interface FaultPlanOptions {
  seed: number;
  /** Injects exactly these faults, by id: used to run a seed again with fewer faults. */
  only?: ReadonlySet<string> | undefined;
  recordTrace: (line: string) => void;
}

export const createNamedRandom = (seed: number, name: string): Random =>
  createSeededRandom(Number(BigInt(Bun.hash(`${seed}:${name}`)) & 0xffffffffn));

/**
 * Decides from the seed where faults are injected. Each kind draws from a random source of its own, so it is
 * independent of other kinds and of the order of events. Each seed leaves out some kinds and triples the
 * probability of others, because a run in which everything fails finds fewer bugs than one that
 * concentrates on few kinds.
 */
export function createFaultPlan({ seed, only, recordTrace }: FaultPlanOptions): FaultPlan {
  const injected: InjectedFault[] = [];
  const weights = createNamedRandom(seed, 'appetite');
  const kinds = new Map(
    allSimFaultKinds.map((kind) => {
      const share = weights.next();
      const factor = share < 0.35 ? 0 : share < 0.85 ? 1 : 3;
      return [
        kind,
        {
          probability: simFaultKinds[kind].probability * factor,
          random: createNamedRandom(seed, kind),
          occasions: 0,
          injectedCount: 0,
        },
      ];
    }),
  );
  let isStopped = false;

  return {
    draw(kind, location) {
      const state = kinds.get(kind);
      if (state === undefined || isStopped) return undefined;
      const id = `${kind}#${++state.occasions}`;
      const isDrawn =
        state.random.next() < state.probability && state.injectedCount < simFaultKinds[kind].runMax;
      if (only === undefined ? !isDrawn : !only.has(id)) return undefined;
      state.injectedCount++;
      injected.push({ id, kind, location });
      recordTrace(`FAULT ${id} at ${location}`);
      return createNamedRandom(seed, id);
    },
    injected,
    stopInjecting() {
      isStopped = true;
    },
  };
}
