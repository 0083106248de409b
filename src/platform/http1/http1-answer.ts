import type { BinaryString } from './binary.ts';
import { discardReply, type Reply } from './reply.ts';
import type { ServerRequest } from './server-request.ts';

/** An answer after which the connection speaks another protocol. */
export interface ProtocolUpgrade {
  /** The bytes to send first, head included. */
  openingBytes: BinaryString;
  /** Starts the other protocol. All bytes that arrive from now on go to the returned handler. */
  start(peer: UpgradedPeer): UpgradedConnectionHandler;
  /** The client disconnected before `start`. */
  abandon(): void;
}

/** The client's connection, as the other protocol uses it. */
export interface UpgradedPeer {
  /** Returns how many of the bytes were written; the others must wait for `onDrain`. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  end(): void;
}

export interface UpgradedConnectionHandler {
  onData(bytes: Buffer): void;
  onDrain(): void;
  onClose(): void;
  /** The server stops: the handler says so in its own protocol if it can. */
  onServerStop(): void;
}

export type Http1Answer = Reply | ProtocolUpgrade;

/**
 * Answers a request, synchronously where it can, since every promise costs. The server turns what it throws into
 * a reply with `toErrorReply`.
 */
export type Http1Handler = (request: ServerRequest) => Http1Answer | Promise<Http1Answer>;

/** Releases the resources of an answer that is too late to be sent. */
export function discardAnswer(answer: Http1Answer): void {
  if ('start' in answer) answer.abandon();
  else discardReply(answer);
}
