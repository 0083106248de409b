import type { Clock } from '@platform/clock.ts';
import type { TicketClaims, Tickets } from './tickets.ts';

// Tickets live for seconds, so more than this is an attack; the oldest are dropped.
const ticketsMax = 10_000;

export function createMemoryTickets(clock: Clock): Tickets {
  const tickets = new Map<string, { claims: TicketClaims; expiresAtMs: number }>();

  return {
    async save(ticket, claims, ttlMs) {
      dropExpired();
      tickets.set(ticket, { claims, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async redeem(ticket) {
      const ticketEntry = tickets.get(ticket);
      tickets.delete(ticket);
      return ticketEntry !== undefined && ticketEntry.expiresAtMs > clock.nowMs()
        ? ticketEntry.claims
        : undefined;
    },
  };

  function dropExpired() {
    for (const [ticket, { expiresAtMs }] of tickets) {
      if (expiresAtMs > clock.nowMs() && tickets.size < ticketsMax) return;
      tickets.delete(ticket);
    }
  }
}
