import type { PersonId } from '@contracts/ids.ts';
import { closeCodes } from '@contracts/realtime.ts';
import type { EndedSessions } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import type { Delivery, Fanout, Signal } from '../fanout/fanout.ts';
import { eventFrameText } from '../frames.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { TicketHolder } from '../tickets/tickets.ts';
import { type Connection, type ConnectionBounds, createConnection } from './connection.ts';
import type { Peer } from './peer.ts';
import { createPeople } from './people.ts';
import type { Snapshots } from './snapshots.ts';

export interface ConnectionsOptions {
  inbox: PersonInbox;
  snapshots: Snapshots;
  fanout: Fanout;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  bounds: ConnectionBounds & { perPersonMax: number; countMax: number };
}

/** The live connections of this instance, by person. */
export interface Connections {
  /** Why no new connection is taken right now. */
  refusal(): 'realtime.full' | 'realtime.restarting' | undefined;
  /** Takes a socket that was let in; beyond the bound the person's oldest makes room. */
  open(holder: TicketHolder, peer: Peer): Connection;
  /** The socket is gone. */
  closed(connection: Connection): void;
  deliver(delivery: Delivery): void;
  signal(signal: Signal): void;
  /** Looks into the inboxes of everyone here for what was pushed and got lost, and renews their presence. */
  check(): Promise<void>;
  /** Looks after a share of the connections (all within `beatsPerHeartbeat` calls) and ends the expired. */
  beat(): void;
  /** Ends the connections of sessions that have ended. */
  endSessions(hasEnded: EndedSessions): void;
  /** Ends all, each told to come back at a time of its own. Takes no more. */
  drain(): void;
  count(): number;
}

/** Pings are spread over the heartbeat, so that they make no burst. */
export const beatsPerHeartbeat = 8;
// Inboxes asked in one go by the check.
const checkBatch = 500;
const reconnectSpreadMs = 5_000;

export function createConnections(options: ConnectionsOptions): Connections {
  const { inbox, fanout, clock, random, log, metrics, bounds } = options;
  const people = createPeople();
  let draining = false;
  let count = 0;
  let beats = 0;
  metrics.gauge('notification_connections', () => count);

  return {
    refusal() {
      if (draining) return 'realtime.restarting';
      return count >= bounds.countMax ? 'realtime.full' : undefined;
    },

    open(holder, peer) {
      const connection = createConnection(options, holder, peer);
      const others = people.of(holder.personId);
      people.add(connection);
      count++;
      if (others.length >= bounds.perPersonMax) others[0]?.close(closeCodes.replaced, 'a newer connection');
      if (draining) connection.close(closeCodes.restarting, reconnectHint());
      void welcome(connection);
      return connection;
    },

    closed(connection) {
      connection.closed();
      const { personId } = connection.holder;
      if (!people.remove(connection)) return;
      count--;
      if (people.of(personId).length > 0) return;
      // An entry that stays is only a push for nobody, and ends by itself.
      fanout.release(personId).catch((error: unknown) => log.debug({ err: error }, 'release of presence'));
    },

    deliver({ personId, seq, body }) {
      const connections = people.of(personId);
      if (connections.length === 0) return;
      const text = eventFrameText(seq, body);
      for (const connection of connections) connection.push(seq, text);
    },

    signal({ personId, text }) {
      for (const connection of people.of(personId)) connection.say(text);
    },

    async check() {
      const personIds = people.ids();
      for (let start = 0; start < personIds.length; start += checkBatch)
        await checkPeople(personIds.slice(start, start + checkBatch));
    },

    beat() {
      const nowMs = clock.nowMs();
      const turn = beats++ % beatsPerHeartbeat;
      people.each((connection, number) => connection.beat(nowMs, number % beatsPerHeartbeat === turn));
    },

    endSessions(hasEnded) {
      people.each((connection) => {
        if (hasEnded(connection.holder.sessionId))
          connection.close(closeCodes.sessionExpired, 'the session has ended');
      });
    },

    drain() {
      draining = true;
      people.each((connection) => connection.close(closeCodes.restarting, reconnectHint()));
    },

    count: () => count,
  };

  /**
   * Presence first, then the newest seq: an event whose publisher did not see us yet was appended
   * before, so the seq covers it; every later one is published to us.
   */
  async function welcome(connection: Connection): Promise<void> {
    const { personId } = connection.holder;
    try {
      await fanout.hold(personId);
      const [lastSeq = 0] = await inbox.lastSeqs([personId], clock.nowMs());
      connection.welcome(lastSeq);
    } catch (error) {
      log.warn({ personId, err: error }, 'a connection can not be welcomed');
      connection.close(closeCodes.tryAgainLater, 'try again soon');
    }
  }

  async function checkPeople(personIds: readonly PersonId[]): Promise<void> {
    await fanout.renew(personIds);
    const seqs = await inbox.lastSeqs(personIds, clock.nowMs());
    personIds.forEach((personId, index) => {
      for (const connection of people.of(personId)) connection.owe(seqs[index] ?? 0);
    });
  }

  function reconnectHint(): string {
    return `restarting; reconnect after ${Math.floor(random.next() * reconnectSpreadMs)} ms`;
  }
}
