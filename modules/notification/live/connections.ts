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
import { type Connection, createConnection } from './connection.ts';
import { createConnectionIndex } from './connection-index.ts';
import type { ConnectionBounds } from './connection-state.ts';
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
  /** The problem code with which new connections are rejected right now; undefined while they are accepted. */
  rejectionCode(): 'realtime.full' | 'realtime.restarting' | undefined;
  /** Registers an accepted socket. Beyond `perPersonMax`, the person's oldest connection is closed. */
  open(claims: TicketClaims, peer: Peer): Connection;
  /** The socket was closed. */
  onClosed(connection: Connection): void;
  deliver(delivery: Delivery): void;
  deliverTransient(frame: TransientFrame): void;
  /** Checks the inboxes of all connected people for lost pushes, and renews their presence. */
  checkInboxes(): Promise<void>;
  /** Pings a share of the connections (all within `ticksPerHeartbeat` calls) and closes those that are dead or expired. */
  heartbeat(): void;
  /** Closes the connections of login sessions that have ended. */
  closeEndedSessions(hasEnded: IsSessionRevoked): void;
  /** Closes all connections, each with its own reconnect delay, and rejects new ones. */
  drain(): void;
  count(): number;
}

/** Pings are spread over the heartbeat interval to avoid a burst. */
export const ticksPerHeartbeat = 8;
// Inboxes that the check reads in one call.
const checkBatch = 500;
const reconnectSpreadMs = 5_000;

export function createConnections(deps: ConnectionsDeps): Connections {
  const { inbox, fanout, clock, random, log, metrics, bounds } = deps;
  const connectionIndex = createConnectionIndex();
  let isDraining = false;
  let count = 0;
  let heartbeatTicks = 0;
  metrics.gauge('notification_connections', () => count);

  return {
    rejectionCode() {
      if (isDraining) return 'realtime.restarting';
      return count >= bounds.countMax ? 'realtime.full' : undefined;
    },

    open(claims, peer) {
      const connection = createConnection(deps, claims, peer);
      const others = connectionIndex.connectionsOf(claims.personId);
      connectionIndex.add(connection);
      count++;
      if (others.length >= bounds.perPersonMax)
        others[0]?.close(closeCodes.replaced, 'replaced by a newer connection');
      if (isDraining) connection.close(closeCodes.restarting, reconnectHint(random));
      void welcome(deps, connection);
      return connection;
    },

    onClosed(connection) {
      connection.onClosed();
      const { personId } = connection.claims;
      if (!connectionIndex.remove(connection)) return;
      count--;
      if (connectionIndex.connectionsOf(personId).length > 0) return;
      // A presence entry that remains only causes an unneeded message, and expires.
      fanout
        .removePresence(personId)
        .catch((error: unknown) => log.debug({ err: error }, 'failed to remove presence'));
    },

    deliver({ personId, seq, body }) {
      const connections = connectionIndex.connectionsOf(personId);
      if (connections.length === 0) return;
      const text = encodeEventFrame(seq, body);
      for (const connection of connections) connection.push(seq, text);
    },

    deliverTransient({ personId, text }) {
      for (const connection of connectionIndex.connectionsOf(personId)) connection.sendTransient(text);
    },

    async checkInboxes() {
      const personIds = connectionIndex.personIds();
      for (let start = 0; start < personIds.length; start += checkBatch)
        await checkPeople(personIds.slice(start, start + checkBatch));
    },

    heartbeat() {
      const nowMs = clock.nowMs();
      const tick = heartbeatTicks++ % ticksPerHeartbeat;
      connectionIndex.visitAll((connection, number) =>
        connection.heartbeat(nowMs, number % ticksPerHeartbeat === tick),
      );
    },

    closeEndedSessions(hasEnded) {
      connectionIndex.visitAll((connection) => {
        if (hasEnded(connection.claims.sessionId))
          connection.close(closeCodes.sessionExpired, 'the login session has ended');
      });
    },

    drain() {
      isDraining = true;
      connectionIndex.visitAll((connection) =>
        connection.close(closeCodes.restarting, reconnectHint(random)),
      );
    },

    count: () => count,
  };

  async function checkPeople(personIds: readonly PersonId[]): Promise<void> {
    await fanout.renewPresence(personIds);
    const seqs = await inbox.lastSeqs(personIds, clock.nowMs());
    personIds.forEach((personId, index) => {
      for (const connection of connectionIndex.connectionsOf(personId))
        connection.catchUpTo(seqs[index] ?? 0);
    });
  }
}

/**
 * Adds presence before it reads the latest seq: an event whose append did not see this instance came before,
 * so the seq covers it, and every later event is published to this instance.
 */
async function welcome(
  { fanout, inbox, clock, log }: ConnectionsDeps,
  connection: Connection,
): Promise<void> {
  const { personId } = connection.claims;
  try {
    await fanout.addPresence(personId);
    const [lastSeq = 0] = await inbox.lastSeqs([personId], clock.nowMs());
    connection.welcome(lastSeq);
  } catch (error) {
    log.warn({ personId, err: error }, 'failed to welcome a live connection');
    connection.close(closeCodes.tryAgainLater, 'try again soon');
  }
}

const reconnectHint = (random: Random): string =>
  `restarting; reconnect after ${Math.floor(random.next() * reconnectSpreadMs)} ms`;
