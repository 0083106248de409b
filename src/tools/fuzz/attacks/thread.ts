import { systemClock } from '@platform/clock.ts';
import type { RoleTokens } from '../case.ts';
import { type AttackerReport, runAttacker } from './attacker.ts';
import { createAttackKinds } from './kinds.ts';

/** A message to the attacker thread: start an attack or stop it. */
export type AttackMessage =
  | {
      begin: {
        kind: string;
        port: number;
        from: string | undefined;
        tokens: RoleTokens;
        idleConnections: number;
      };
    }
  | { end: true };

/** Runs attackers in their own thread, so that their work does not delay the measurements of bystanders. */
export function startAttackers() {
  const thread = new Worker(new URL(import.meta.url));
  let report = Promise.withResolvers<AttackerReport>();
  thread.onmessage = ({ data }: MessageEvent<AttackerReport>) => report.resolve(data);
  thread.onerror = ({ message }) => report.reject(new Error(message));
  return {
    begin(message: Extract<AttackMessage, { begin: unknown }>['begin']): void {
      report = Promise.withResolvers<AttackerReport>();
      thread.postMessage({ begin: message } satisfies AttackMessage);
    },
    end(): Promise<AttackerReport> {
      thread.postMessage({ end: true } satisfies AttackMessage);
      return report.promise;
    },
    stop: () => thread.terminate(),
  };
}

declare const self: Worker;

if (!Bun.isMainThread) {
  let stopped = new AbortController();
  self.onmessage = async ({ data }: MessageEvent<AttackMessage>) => {
    if ('end' in data) return stopped.abort();
    stopped = new AbortController();
    const { port, from, tokens, idleConnections, kind: name } = data.begin;
    const kind = createAttackKinds(tokens, idleConnections, systemClock.nowMs).find(
      (candidate) => candidate.name === name,
    );
    if (kind === undefined) throw new Error(`unknown attack: ${name}`);
    self.postMessage(await runAttacker({ port, from, kind, clock: systemClock }, stopped.signal));
  };
}
