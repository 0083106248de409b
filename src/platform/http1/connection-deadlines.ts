import { problem } from '../problems.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import type { ConnectionState } from './connection-state.ts';
import { processingResponse } from './reply.ts';
import type { RequestIntake } from './request-intake.ts';
import type { Responder } from './responder.ts';
import { connectionLimits, noAnswerProblem, type ServerConnectionOwner } from './server-limits.ts';

/** The parts of a connection that its deadlines depend on. */
export interface TimedConnection {
  readonly state: ConnectionState;
  readonly intake: RequestIntake;
  readonly responder: Responder;
  readonly socket: ConnectionSocket;
  /** Answers with this error and closes. */
  reject(error: unknown): void;
}

/** Ends or answers what has taken too long on a connection. */
export function enforceDeadlines(
  connection: TimedConnection,
  owner: ServerConnectionOwner,
  nowMs: number,
): void {
  const { state, intake, responder, socket } = connection;
  const { phase } = state;
  const elapsedMs = nowMs - state.sinceMs;
  if (socket.writer.isStalled(nowMs, connectionLimits.stallMs)) socket.terminate();
  else if (phase === 'lingering' && elapsedMs > connectionLimits.lingerMs) socket.terminate();
  else if (phase === 'serving' && !responder.hasBegun())
    enforceRequestDeadline(connection, owner, elapsedMs, nowMs);
  else if (phase !== 'reading') return;
  else if (intake.reader.isInHead() && elapsedMs > connectionLimits.headMsMax)
    connection.reject(problem('request.too_slow'));
  else if (elapsedMs > (intake.isUnused ? connectionLimits.headMsMax : connectionLimits.idleMsMax))
    socket.terminate();
}

function enforceRequestDeadline(
  { state, intake, responder, socket }: TimedConnection,
  owner: ServerConnectionOwner,
  elapsedMs: number,
  nowMs: number,
): void {
  const { request } = intake;
  if (nowMs > state.probesPeerAtMs && intake.head?.isHttp11) {
    state.probesPeerAtMs = Number.POSITIVE_INFINITY;
    socket.writer.write(processingResponse);
  }
  if (request === undefined || elapsedMs <= owner.requestTimeoutMs) return;
  intake.body?.fail(problem('request.too_slow'));
  if (intake.isRequestComplete() || elapsedMs > owner.requestTimeoutMs + connectionLimits.graceMs)
    responder.fail(request, noAnswerProblem());
}
