import type { PersonId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';

/** Who may connect with a ticket. */
export interface TicketClaims {
  personId: PersonId;
  role: Role;
  /** The login session of the access token. When it ends, the connection is closed. */
  sessionId: string;
  /** When the access token expires that requested the ticket. The connection is closed then. */
  sessionExpiresAtMs: number;
}

/**
 * Single-use tickets. A browser can not send a token in a WebSocket handshake, and a long-lived token in a URL
 * would end up in logs.
 */
export interface Tickets {
  /** Stores the ticket for `ttlMs`. */
  save(ticket: string, claims: TicketClaims, ttlMs: number): Promise<void>;
  /** Returns the claims once; undefined if the ticket is unknown, used or expired. */
  redeem(ticket: string): Promise<TicketClaims | undefined>;
}
