import { formatTimestamp } from '@contracts/common.ts';
import type { Ticket } from '@contracts/realtime.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import type { Tickets } from './tickets/tickets.ts';

export interface RealtimeService {
  /** Issues a ticket that opens one connection of this person. */
  issueTicket(person: Principal): Promise<Ticket>;
}

export interface RealtimeServiceDeps {
  tickets: Tickets;
  clock: Clock;
  random: Random;
  ticketTtlMs: number;
}

export function createRealtimeService(options: RealtimeServiceDeps): RealtimeService {
  const { tickets, clock, random, ticketTtlMs } = options;
  return {
    async issueTicket({ id: personId, role, sessionId, expiresAtMs: sessionExpiresAtMs }) {
      const ticket = Buffer.from(random.bytes(24)).toString('base64url');
      const expiresAt = formatTimestamp(clock.nowMs() + ticketTtlMs);
      await tickets.save(ticket, { personId, role, sessionId, sessionExpiresAtMs }, ticketTtlMs);
      return { ticket, expiresAt };
    },
  };
}
