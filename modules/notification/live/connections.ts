import type { PersonId } from '@contracts/ids.ts';
import { closeCodes } from '@contracts/realtime.ts';
import type { IsSessionRevoked } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import type { Delivery, Fanout, TransientFrame } from '../fanout/fanout.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { TicketClaims } from '../tickets/tickets.ts';
import { type Connection, type ConnectionBounds, createConnection } from './connection.ts';
import { createConnectionIndex } from './connection-index.ts';
import { encodeEventFrame } from './frames.ts';
import type { Peer } from './peer.ts';
import type { ReadSnapshot } from './snapshots.ts';

export interface ConnectionsDeps {
  inbox: PersonInbox;
  snapshots: ReadSnapshot;
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
  rejectionCode(): 'realtime.full' | 'realtime.restarting' | undefined;
  /** Takes a socket that was let in; beyond the bound the person's oldest makes room. */
  open(holder: TicketClaims, peer: Peer): Connection;
  /** The socket is gone. */
  onClosed(connection: Connection): void;
  deliver(delivery: Delivery): void;
  deliverTransient(signal: TransientFrame): void;
  /** Looks into the inboxes of everyone here for what was pushed and got lost, and renews their presence. */
  checkInboxes(): Promise<void>;
  /** Looks after a share of the connections (all within `ticksPerHeartbeat` calls) and ends the expired. */
  heartbeat(): void;
  /** Ends the connections of sessions that have ended. */
  closeEndedSessions(hasEnded: IsSessionRevoked): void;
  /** Ends all, each told to come back at a time of its own. Takes no more. */
  drain(): void;
  count(): number;
}

/** Pings are spread over the heartbeat, so that they make no burst. */
export const ticksPerHeartbeat = 8;
// Inboxes asked in one go by the check.
const checkBatch = 500;
const reconnectSpreadMs = 5_000;

export function createConnections(options: ConnectionsDeps): Connections {
  const { inbox, fanout, clock, random, log, metrics, bounds } = options;
  const people = createConnectionIndex();
  let draining = false;
  let count = 0;
  let beats = 0;
  metrics.gauge('notification_connections', () => count);

  return {
    rejectionCode() {
      if (draining) return 'realtime.restarting';
      return count >= bounds.countMax ? 'realtime.full' : undefined;
    },

    open(holder, peer) {
      const connection = createConnection(options, holder, peer);
      const others = people.connectionsOf(holder.personId);
      people.add(connection);
      count++;
      if (others.length >= bounds.perPersonMax) others[0]?.close(closeCodes.replaced, 'a newer connection');
      if (draining) connection.close(closeCodes.restarting, reconnectHint());
      void welcome(connection);
      return connection;
    },

    onClosed(connection) {
      connection.onClosed();
      const { personId } = connection.claims;
      if (!people.remove(connection)) return;
      count--;
      if (people.connectionsOf(personId).length > 0) return;
      // An entry that stays is only a push for nobody, and ends by itself.
      fanout
        .removePresence(personId)
        .catch((error: unknown) => log.debug({ err: error }, 'release of presence'));
    },

    deliver({ personId, seq, body }) {
      const connections = people.connectionsOf(personId);
      if (connections.length === 0) return;
      const text = encodeEventFrame(seq, body);
      for (const connection of connections) connection.push(seq, text);
    },

    deliverTransient({ personId, text }) {
      for (const connection of people.connectionsOf(personId)) connection.sendTransient(text);
    },

    async checkInboxes() {
      const personIds = people.personIds();
      for (let start = 0; start < personIds.length; start += checkBatch)
        await checkPeople(personIds.slice(start, start + checkBatch));
    },

    heartbeat() {
      const nowMs = clock.nowMs();
      const turn = beats++ % ticksPerHeartbeat;
      people.visitAll((connection, number) =>
        connection.heartbeat(nowMs, number % ticksPerHeartbeat === turn),
      );
    },

    closeEndedSessions(hasEnded) {
      people.visitAll((connection) => {
        if (hasEnded(connection.claims.sessionId))
          connection.close(closeCodes.sessionExpired, 'the session has ended');
      });
    },

    drain() {
      draining = true;
      people.visitAll((connection) => connection.close(closeCodes.restarting, reconnectHint()));
    },

    count: () => count,
  };

  /**
   * Presence first, then the newest seq: an event whose publisher did not see us yet was appended
   * before, so the seq covers it; every later one is published to us.
   */
  async function welcome(connection: Connection): Promise<void> {
    const { personId } = connection.claims;
    try {
      await fanout.addPresence(personId);
      const [lastSeq = 0] = await inbox.lastSeqs([personId], clock.nowMs());
      connection.welcome(lastSeq);
    } catch (error) {
      log.warn({ personId, err: error }, 'a connection can not be welcomed');
      connection.close(closeCodes.tryAgainLater, 'try again soon');
    }
  }

  async function checkPeople(personIds: readonly PersonId[]): Promise<void> {
    await fanout.renewPresence(personIds);
    const seqs = await inbox.lastSeqs(personIds, clock.nowMs());
    personIds.forEach((personId, index) => {
      for (const connection of people.connectionsOf(personId)) connection.catchUpTo(seqs[index] ?? 0);
    });
  }

  function reconnectHint(): string {
    return `restarting; reconnect after ${Math.floor(random.next() * reconnectSpreadMs)} ms`;
  }
}
