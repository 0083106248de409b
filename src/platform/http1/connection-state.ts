/**
 *   reading ──head──► serving ──answered──► reading, or lingering ──► closed
 *      │                 └─ with another protocol ──► upgraded ─────────▲
 *      └─ malformed bytes are answered ──► lingering ───────────────────┘
 *
 * Lingering: everything is sent, but the client may still send. Its bytes are read and dropped, since closing
 * with unread bytes would also take our last answer away from the client.
 */
export type ConnectionPhase = 'reading' | 'serving' | 'upgraded' | 'lingering' | 'closed';

/** What the parts of one server connection share. */
export interface ConnectionState {
  phase: ConnectionPhase;
  /** When the phase began; in `reading`, when the first byte of the head arrived, if any has. */
  sinceMs: number;
  /** The client sends nothing more. */
  isPeerEnded: boolean;
  /** When to find out whether a client that ended its side is still there. */
  probesPeerAtMs: number;
}
