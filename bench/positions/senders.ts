import { join } from 'node:path';
import { cpuMicrosOf } from '../harness/cpu.ts';
import type { Measurement } from '../harness/rounds.ts';
import type { ProcessGroup } from './system.ts';

export type SenderCommand =
  | { kind: 'connect'; url: string; tokens: readonly string[]; ticketed: boolean }
  | { kind: 'run'; seconds: number; points: number };
export type SenderReply =
  | { kind: 'connected' }
  | { kind: 'ran'; sent: number; acknowledged: number; seconds: number; errors: CodeCounts }
  | { kind: 'failed'; message: string };
/** Number of errors by code; closed connections are counted by close code. */
export type CodeCounts = Readonly<Record<string, number>>;
type RunReply = Extract<SenderReply, { kind: 'ran' }>;

export interface Senders {
  /** Sends frames with `points` points each for `seconds`. */
  run(
    seconds: number,
    points: number,
    serverPids: readonly number[],
  ): Promise<Measurement & { errors: CodeCounts }>;
  stop(): void;
}

/** Starts one sender for each server process, with the live connections of its share of the drivers. */
export async function startSenders(
  processes: ProcessGroup,
  tokens: readonly string[],
  ticketed: boolean,
): Promise<Senders> {
  const senders = processes.urls.map(() => startSender());
  const stop = () => {
    for (const sender of senders) sender.stop();
  };
  try {
    await Promise.all(
      processes.urls.map((url, n) => {
        const own = tokens.filter((_, index) => index % processes.urls.length === n);
        return senders[n]?.request({ kind: 'connect', url, tokens: own, ticketed });
      }),
    );
  } catch (error) {
    stop();
    throw error;
  }
  return {
    async run(seconds, points, serverPids) {
      const [cpu, serverCpu] = [cpuMicrosOf(processes.pids()), cpuMicrosOf(serverPids)];
      const answers = await Promise.all(
        senders.map((sender) => sender.request({ kind: 'run', seconds, points })),
      );
      const replies = answers.filter((answer): answer is RunReply => answer.kind === 'ran');
      return {
        operations: replies.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
        seconds: Math.max(...replies.map((reply) => reply.seconds)),
        cpuMicros: cpuMicrosOf(processes.pids()) - cpu,
        serverCpuMicros: cpuMicrosOf(serverPids) - serverCpu,
        errors: sumCodeCounts(replies.map(({ errors }) => errors)),
      };
    },
    stop,
  };
}

function startSender() {
  let answered = Promise.withResolvers<SenderReply>();
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'sender-process.ts')], {
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: (answer: SenderReply) => answered.resolve(answer),
    onExit: (_, code) => answered.resolve({ kind: 'failed', message: `a sender ended with ${code}` }),
  });
  return {
    async request(order: SenderCommand): Promise<SenderReply> {
      answered = Promise.withResolvers<SenderReply>();
      child.send(order);
      const answer = await answered.promise;
      if (answer.kind === 'failed') throw new Error(answer.message);
      return answer;
    },
    stop: () => child.kill(),
  };
}

export function sumCodeCounts(all: readonly CodeCounts[]): CodeCounts {
  const sum: Record<string, number> = {};
  for (const codes of all)
    for (const [code, count] of Object.entries(codes)) sum[code] = (sum[code] ?? 0) + count;
  return sum;
}
