import { systemClock } from '@platform/clock.ts';
import type { RoleTokens } from '../cases.ts';
import { type AttackerReport, runAttacker } from './attacker.ts';
import { createAttackKinds } from './kinds.ts';

/** What the thread of the attackers is asked for: to attack with a kind, or to end. */
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

/** Attackers in a thread of their own, so that what they compute does not delay what bystanders measure. */
export function startAttackers() {
  const thread = new Worker(new URL(import.meta.url));
  let attacked = Promise.withResolvers<AttackerReport>();
  thread.onmessage = ({ data }: MessageEvent<AttackerReport>) => attacked.resolve(data);
  thread.onerror = ({ message }) => attacked.reject(new Error(message));
  return {
    begin(message: Extract<AttackMessage, { begin: unknown }>['begin']): void {
      attacked = Promise.withResolvers<AttackerReport>();
      thread.postMessage({ begin: message } satisfies AttackMessage);
    },
    end(): Promise<AttackerReport> {
      thread.postMessage({ end: true } satisfies AttackMessage);
      return attacked.promise;
    },
    stop: () => thread.terminate(),
  };
}

declare const self: Worker;

if (!Bun.isMainThread) {
  let over = new AbortController();
  self.onmessage = async ({ data }: MessageEvent<AttackMessage>) => {
    if ('end' in data) return over.abort();
    over = new AbortController();
    const { port, from, tokens, idleConnections, kind: name } = data.begin;
    const kind = createAttackKinds(tokens, idleConnections, systemClock.nowMs).find(
      (one) => one.name === name,
    );
    if (kind === undefined) throw new Error(`no attack is called ${name}`);
    self.postMessage(await runAttacker({ port, from, kind, clock: systemClock }, over.signal));
  };
}
