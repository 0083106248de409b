import type { PersonId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';

/** Whom a ticket lets in. */
export interface TicketClaims {
  personId: PersonId;
  role: Role;
  /** The login that the token stems from: when it ends, the connection does. */
  sessionId: string;
  /** When the access token ends that the ticket was asked with; the connection ends then too. */
  sessionExpiresAtMs: number;
}

/**
 * Single-use tickets: a browser can't put a token into a WebSocket handshake, and a URL with a
 * long-lived one ends up in logs.
 */
export interface Tickets {
  /** Keeps the ticket for at most `ttlMs`. */
  save(ticket: string, holder: TicketClaims, ttlMs: number): Promise<void>;
  /** The holder, once: undefined when the ticket is unknown, was used or has expired. */
  redeem(ticket: string): Promise<TicketClaims | undefined>;
}
