import type { Socket } from 'bun';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { problem } from '../problems.ts';
import type { TimedConnection } from './connection-deadlines.ts';
import { ConnectionSocket } from './connection-socket.ts';
import type { ConnectionState } from './connection-state.ts';
import type { ProtocolUpgrade, UpgradedConnectionHandler } from './http1-answer.ts';
import { type IntakeConnection, RequestIntake } from './request-intake.ts';
import { Responder, type RespondingConnection } from './responder.ts';
import { connectionLimits, type ServerConnectionOwner } from './server-limits.ts';
import type { ServerRequest } from './server-request.ts';

/**
 * A connection of a client: its events and phases (`connection-state.ts`). `RequestIntake` reads its requests,
 * `Responder` answers them. A class, since there are tens of thousands and their methods are created once.
 */
export class ServerConnection implements IntakeConnection, RespondingConnection, TimedConnection {
  readonly state: ConnectionState;
  readonly intake: RequestIntake;
  readonly responder: Responder;
  readonly socket: ConnectionSocket;
  private upgraded: UpgradedConnectionHandler | undefined;

  constructor(
    socket: Socket<ServerConnection>,
    private readonly owner: ServerConnectionOwner,
  ) {
    this.state = {
      phase: 'reading',
      sinceMs: owner.nowMs(),
      isPeerEnded: false,
      probesPeerAtMs: Number.POSITIVE_INFINITY,
    };
    this.socket = new ConnectionSocket(socket, owner.nowMs);
    this.intake = new RequestIntake(this, this.state, this.socket, owner);
    this.responder = new Responder(this, this.state, this.intake, this.socket, owner);
  }

  onData(bytes: Buffer): void {
    const { phase } = this.state;
    if (phase === 'upgraded') this.upgraded?.onData(bytes);
    else if (phase === 'reading') this.intake.feed(bytes);
    else if (phase !== 'serving' || this.intake.isBroken) return;
    else if (this.intake.isRequestComplete()) this.intake.hold(bytes);
    else this.intake.feed(bytes);
  }

  onDrain(): void {
    const { writer } = this.socket;
    writer.onDrain();
    if (!writer.isDrained()) return;
    if (this.state.phase === 'upgraded') this.upgraded?.onDrain();
    else if (this.responder.hasBegun()) this.responder.finishIfWritten();
  }

  /** The client sends nothing more. It may still read: a complete request is answered (RFC 9112 §9.6). */
  onEnd(): void {
    const { state } = this;
    state.isPeerEnded = true;
    state.probesPeerAtMs = this.owner.nowMs() + connectionLimits.probePeerAfterMs;
    if (state.phase === 'reading') this.linger();
    else if (state.phase !== 'serving') this.socket.terminate();
    else if (!this.intake.isRequestComplete())
      this.intake.body?.fail(new MalformedMessage('the connection ended before the body'));
  }

  onClose(): void {
    this.state.phase = 'closed';
    this.intake.request = undefined;
    this.socket.writer.onClose();
    this.intake.body?.fail(problem('request.invalid', { detail: 'the client disconnected' }));
    this.upgraded?.onClose();
  }

  /** The server stops: requests in flight are answered, and no new ones are read. */
  stop(): void {
    if (this.state.phase === 'upgraded') this.upgraded?.onServerStop();
    else if (this.state.phase === 'reading') this.linger();
  }

  onRequest(request: ServerRequest): void {
    this.responder.handle(request);
  }

  onBytesAfterRequest(bytes: Buffer): void {
    if (this.state.phase === 'serving') this.intake.hold(bytes);
    else if (this.state.phase === 'upgraded') this.upgraded?.onData(bytes);
  }

  onAnswered(mayContinue: boolean): void {
    this.intake.finishRequest();
    if (mayContinue) this.intake.readNext();
    else this.linger();
  }

  /** Answers bytes that are no readable request; nothing after them can be trusted. */
  reject(error: unknown): void {
    this.responder.reject(error);
    this.linger();
  }

  upgrade(answer: ProtocolUpgrade): void {
    this.state.phase = 'upgraded';
    this.intake.request = undefined;
    this.upgraded = this.socket.startProtocol(answer, this.intake.ahead);
  }

  private linger(): void {
    this.state.phase = 'lingering';
    this.state.sinceMs = this.owner.nowMs();
    this.intake.ahead.clear();
    this.socket.finishWriting(this.state.isPeerEnded);
  }
}
