/** The socket of a connection; Bun's own is one. */
export interface Peer {
  /** Above 0: sent. -1: waits in the peer's queue. 0: dropped. */
  send(text: string): number;
  getBufferedAmount(): number;
  ping(): unknown;
  close(code: number, reason: string): void;
  /** Ends it without a handshake: the peer does not answer. */
  terminate(): void;
}
