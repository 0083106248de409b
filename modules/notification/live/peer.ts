/** The part of a WebSocket that a connection needs; Bun's `ServerWebSocket` satisfies it. */
export interface Peer {
  /** Above 0: sent. -1: queued in the socket buffer. 0: dropped. */
  send(text: string): number;
  getBufferedAmount(): number;
  ping(): unknown;
  close(code: number, reason: string): void;
  /** Closes without a close handshake, for a peer that does not respond. */
  terminate(): void;
}
