import type { Socket } from 'bun';
import type { ProtocolUpgrade, UpgradedConnectionHandler, UpgradedPeer } from './http1-answer.ts';
import type { BodyFlow } from './incoming-body.ts';
import type { ReadAhead } from './read-ahead.ts';
import { continueResponse } from './reply.ts';
import { SocketWriter } from './socket-writer.ts';

/** The socket of one client: its flow control, and what is written to it. */
export class ConnectionSocket implements BodyFlow {
  readonly writer: SocketWriter;
  /** The client waits for a 100 before it sends its body, and the answer has not begun. */
  isContinueExpected = false;
  private isPaused = false;
  private address: string | undefined;

  constructor(
    private readonly socket: Socket<unknown>,
    nowMs: () => number,
  ) {
    this.writer = new SocketWriter(socket, nowMs);
  }

  peerAddress(): string {
    this.address ??= this.socket.remoteAddress;
    return this.address;
  }

  pause(): void {
    if (!this.isPaused) this.socket.pause();
    this.isPaused = true;
  }

  resume(): void {
    if (this.isPaused) this.socket.resume();
    this.isPaused = false;
  }

  onBodyRequested(): void {
    if (this.isContinueExpected) this.writer.write(continueResponse);
  }

  /** Sends nothing more, and reads on until the client ends its side too. */
  finishWriting(isPeerEnded: boolean): void {
    if (isPeerEnded) this.socket.end();
    else this.socket.shutdown();
    this.resume();
  }

  terminate(): void {
    this.socket.terminate();
  }

  /** Starts another protocol on the connection, with the bytes that came after its request. */
  startProtocol(upgrade: ProtocolUpgrade, ahead: ReadAhead): UpgradedConnectionHandler {
    this.writer.write(upgrade.openingBytes);
    const handler = upgrade.start(this.createUpgradedPeer());
    ahead.consume((bytes) => {
      handler.onData(bytes);
      return bytes.length;
    });
    return handler;
  }

  private createUpgradedPeer(): UpgradedPeer {
    const { socket, writer } = this;
    return {
      write: (bytes) => (writer.isDrained() ? socket.write(bytes) : 0),
      pause: () => this.pause(),
      resume: () => this.resume(),
      end: () => void socket.end(),
    };
  }
}
