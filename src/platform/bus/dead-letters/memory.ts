import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import type { DeadLetter, DeadLetterScan, DeadLetterVerdict, DeadLetterVisitor } from '../bus.ts';
import type { MemoryMessage } from '../memory-message.ts';
import { scanBatchMax, scannedDeadLettersMax } from './limits.ts';

export interface MemoryDeadLetters {
  count(): number;
  list(): DeadLetter[];
  add(message: MemoryMessage, event: DomainEvent, reason: string): void;
  /** One scan at a time; see `OperableBus.scanDeadLetters`. */
  scan(visit: DeadLetterVisitor): Promise<DeadLetterScan>;
}

export interface MemoryDeadLettersDeps {
  queue: string;
  clock: Clock;
  log: Log;
  /** Puts the message back into its queue; throws when the queue is full. */
  redrive(message: MemoryMessage): void;
}

interface StoredLetter {
  letter: DeadLetter;
  message: MemoryMessage;
}

const deadLettersMax = 10_000;

/** The dead letters of one queue of the bus in memory, oldest first. */
export function createMemoryDeadLetters(deps: MemoryDeadLettersDeps): MemoryDeadLetters {
  const { queue, clock, log, redrive } = deps;
  let stored: StoredLetter[] = [];
  let lastScan: Promise<unknown> = Promise.resolve();

  return {
    count: () => stored.length,
    list: () => stored.map(({ letter }) => structuredClone(letter)),
    add(message, event, reason) {
      if (stored.length >= deadLettersMax) {
        log.error({ queue, dropped: stored[0]?.letter.id }, 'too many dead letters, dropped the oldest');
        stored.shift();
      }
      stored.push({ letter: toDeadLetter(message, event, reason), message });
    },
    async scan(visit) {
      const scan = lastScan.then(() => runScan(visit));
      lastScan = scan.catch(() => undefined);
      return scan;
    },
  };

  function toDeadLetter(message: MemoryMessage, event: DomainEvent, reason: string): DeadLetter {
    const nowMs = clock.nowMs();
    return {
      queue,
      id: event.id,
      type: event.type,
      reason,
      attempts: message.failures,
      redrives: message.redrives,
      firstFailedAt: formatTimestamp(message.firstFailedAtMs ?? nowMs),
      lastFailedAt: formatTimestamp(nowMs),
      bytes: Buffer.byteLength(message.text),
      body: event,
    };
  }

  async function runScan(visit: DeadLetterVisitor): Promise<DeadLetterScan> {
    const toVisit = stored.slice(0, scannedDeadLettersMax);
    const total = stored.length;
    for (let searched = 0; searched < toVisit.length; ) {
      const batch = toVisit.slice(searched, searched + scanBatchMax);
      const { verdicts, isLast } = await visit(batch.map(({ letter }) => structuredClone(letter)));
      for (const [index, letter] of batch.entries()) carryOut(letter, verdicts[index] ?? 'keep');
      searched += batch.length;
      if (isLast) return { total, searched };
    }
    return { total, searched: toVisit.length };
  }

  function carryOut(visited: StoredLetter, verdict: DeadLetterVerdict): void {
    if (verdict === 'keep') return;
    if (verdict === 'redrive') redrive(visited.message);
    stored = stored.filter((other) => other !== visited);
  }
}
