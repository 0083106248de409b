import { createSeededRandom, type Random } from '@platform/random.ts';

/** Every way in which the simulation does harm: how likely at each occasion, and how often in one run at most. */
export const simFaultKinds = {
  // PostgreSQL: the statement never arrives, it commits and the answer is lost, it takes seconds.
  'sql.not_sent': { chance: 0.004, most: 6 },
  'sql.reply_lost': { chance: 0.006, most: 8 },
  'sql.slow': { chance: 0.02, most: 16 },
  // An instance dies at a named point; a new one is built on the same database.
  'crash.before_commit': { chance: 0.004, most: 2 },
  'crash.after_commit': { chance: 0.006, most: 3 },
  'crash.before_ack': { chance: 0.02, most: 2 },
  'crash.after_confirm': { chance: 0.03, most: 2 },
  // An instance stops for longer than every lease, then goes on with what it was doing.
  'pause.before_commit': { chance: 0.005, most: 2 },
  'pause.after_commit': { chance: 0.003, most: 1 },
  'pause.after_confirm': { chance: 0.02, most: 1 },
  // The broker, publishing: refused; a part stored and then refused; stored but the confirm is lost or late; away.
  'bus.refused': { chance: 0.05, most: 5 },
  'bus.partial': { chance: 0.05, most: 4 },
  'bus.confirm_lost': { chance: 0.06, most: 5 },
  'bus.confirm_late': { chance: 0.03, most: 3 },
  'bus.outage': { chance: 0.01, most: 1 },
  // The broker, delivering: twice, out of order, late; the acknowledgement never arrives.
  'bus.duplicate': { chance: 0.06, most: 12 },
  'bus.reorder': { chance: 0.2, most: 12 },
  'bus.late': { chance: 0.04, most: 8 },
  'bus.ack_lost': { chance: 0.04, most: 6 },
  // Calls between services, and requests of clients: never arrive, are done but the answer is lost, come late.
  'call.refused': { chance: 0.04, most: 5 },
  'call.reply_lost': { chance: 0.04, most: 5 },
  'call.late': { chance: 0.03, most: 4 },
  'client.refused': { chance: 0.02, most: 6 },
  'client.reply_lost': { chance: 0.04, most: 10 },
  'client.late': { chance: 0.02, most: 5 },
  // The payment provider: hears nothing, acts but its answer is lost, takes too long, answers twice.
  'provider.unheard': { chance: 0.08, most: 4 },
  'provider.answer_lost': { chance: 0.1, most: 5 },
  'provider.slow': { chance: 0.08, most: 3 },
  'provider.twice': { chance: 0.15, most: 5 },
  // The stores of positions and of notifications: an answer is lost; all positions are lost.
  'inbox.reply_lost': { chance: 0.03, most: 5 },
  'inbox.away': { chance: 0.02, most: 4 },
  'positions.away': { chance: 0.02, most: 4 },
  'positions.lost': { chance: 0.003, most: 1 },
  // Live connections: cut in the middle of a frame.
  'socket.cut': { chance: 0.05, most: 6 },
  // Drivers who are asked or on a ride: log out with an open offer, are banned, never send anything again.
  'driver.signed_out': { chance: 0.08, most: 2 },
  'driver.banned': { chance: 0.05, most: 1 },
  'driver.silent': { chance: 0.04, most: 1 },
  // The Redis of positions and live connections takes no writes for some seconds.
  'redis.demoted': { chance: 0.01, most: 2 },
} as const satisfies Record<string, { chance: number; most: number }>;
export type SimFaultKind = keyof typeof simFaultKinds;
export const allSimFaultKinds = Object.keys(simFaultKinds).filter(
  (kind): kind is SimFaultKind => kind in simFaultKinds,
);

/** One fault of a run: the `nth` occasion of its kind, and where that was. */
export interface InjectedFault {
  /** `sql.reply_lost#17`: the same occasion again in a run of the same seed. */
  id: string;
  kind: SimFaultKind;
  location: string;
}

export interface FaultPlan {
  /** Undefined when nothing happens here; else chance for the details of this fault. */
  draw(kind: SimFaultKind, where: string): Random | undefined;
  /** What struck, in order. */
  injected: readonly InjectedFault[];
  /** From now on nothing strikes. */
  stopInjecting(): void;
}

export interface FaultPlanOptions {
  seed: number;
  /** Exactly these faults and no others: to run a seed again with fewer. */
  only?: ReadonlySet<string> | undefined;
  recordTrace: (line: string) => void;
}

export const createNamedRandom = (seed: number, name: string): Random =>
  createSeededRandom(Number(BigInt(Bun.hash(`${seed}:${name}`)) & 0xffffffffn));

/**
 * Decides by the seed where faults strike. Each kind has a chance of its own, independent of all others
 * and of the order of events; and each seed leaves some kinds out and has more of others, since a run in
 * which everything fails at once finds less than one that is good at one thing.
 */
export function createFaultPlan({ seed, only, recordTrace }: FaultPlanOptions): FaultPlan {
  const injected: InjectedFault[] = [];
  const appetite = createNamedRandom(seed, 'appetite');
  const kinds = new Map(
    allSimFaultKinds.map((kind) => {
      const mood = appetite.next();
      const factor = mood < 0.35 ? 0 : mood < 0.85 ? 1 : 3;
      return [
        kind,
        {
          chance: simFaultKinds[kind].chance * factor,
          random: createNamedRandom(seed, kind),
          seen: 0,
          done: 0,
        },
      ];
    }),
  );
  let healed = false;

  return {
    draw(kind, location) {
      const state = kinds.get(kind);
      if (state === undefined || healed) return undefined;
      const id = `${kind}#${++state.seen}`;
      const isDrawn = state.random.next() < state.chance && state.done < simFaultKinds[kind].most;
      if (only === undefined ? !isDrawn : !only.has(id)) return undefined;
      state.done++;
      injected.push({ id, kind, location });
      recordTrace(`FAULT ${id} at ${location}`);
      return createNamedRandom(seed, id);
    },
    injected,
    stopInjecting() {
      healed = true;
    },
  };
}
