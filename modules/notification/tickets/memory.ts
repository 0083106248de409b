import type { Clock } from '@platform/clock.ts';
import type { TicketClaims, Tickets } from './tickets.ts';

// Tickets live for seconds: more than these at once is an attack, and the oldest go.
const ticketsMax = 10_000;

export function createMemoryTickets(clock: Clock): Tickets {
  const kept = new Map<string, { holder: TicketClaims; expiresAtMs: number }>();

  return {
    async save(ticket, holder, ttlMs) {
      dropExpired();
      kept.set(ticket, { holder, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async redeem(ticket) {
      const found = kept.get(ticket);
      kept.delete(ticket);
      return found !== undefined && found.expiresAtMs > clock.nowMs() ? found.holder : undefined;
    },
  };

  function dropExpired() {
    for (const [ticket, { expiresAtMs }] of kept) {
      if (expiresAtMs > clock.nowMs() && kept.size < ticketsMax) return;
      kept.delete(ticket);
    }
  }
}
