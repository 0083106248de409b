import { pageSizeMax } from '@contracts/common.ts';
import {
  type ConsumingContext,
  consumingContexts,
  DeadLetterDetail,
  DeadLetterPage,
  type DeadLetterQueue,
  DeadLetterQueues,
  type DeadLetterSelection,
  type DeadLetterSummary,
  DeadLettersDropped,
  DeadLettersRedriven,
} from '@contracts/dead-letters.ts';
import { type OperatorClient, OperatorError } from './operator-client.ts';
import type { DlqArguments } from './options.ts';

export interface DeadLetterListing {
  queues: DeadLetterQueue[];
  items: DeadLetterSummary[];
  /** There is more to list than was asked for, or than one walk of the queue reaches. */
  more: boolean;
}

export interface SettledLetter {
  queue: string;
  id: string;
  type: string;
  reason: string;
  alreadyApplied: boolean | null;
}

/** What the four verbs do, over the operators' routes of the services that own the queues. */
export type DeadLetterClient = ReturnType<typeof createDeadLetterClient>;

// Inside the time that a request may take, with room.
const settleAtOnceMax = 500;

export function createDeadLetterClient({ request }: OperatorClient) {
  const pathOf = (queue: string) => `/v1/ops/dead-letters/${contextOf(queue)}/${encodeURIComponent(queue)}`;

  return { list, show, settle };

  /** The queues that are meant, with their counts. */
  async function queues(name: string | undefined): Promise<DeadLetterQueue[]> {
    const contexts = name === undefined ? consumingContexts : [contextOf(name)];
    const answers = await Promise.all(
      contexts.map((context) => request(DeadLetterQueues, 'GET', `/v1/ops/dead-letters/${context}`)),
    );
    const all = answers.flatMap((answer) => answer.queues);
    const meant = name === undefined ? all : all.filter(({ queue }) => queue === name);
    if (meant.length === 0)
      throw new OperatorError(`there is no queue ${name}; "bun run dlq list" names them`);
    return meant;
  }

  async function list({ queue, type, reason, limit }: DlqArguments): Promise<DeadLetterListing> {
    const found = await queues(queue);
    const items: DeadLetterSummary[] = [];
    let more = false;
    for (const one of found.filter(({ dead }) => dead > 0)) {
      for (let cursor: string | null = ''; cursor !== null; ) {
        const left = limit - items.length;
        if (left <= 0) return { queues: found, items, more: true };
        const query = new URLSearchParams({ limit: String(Math.min(left, pageSizeMax)) });
        for (const [name, value] of Object.entries({ type, reason, cursor: cursor || undefined }))
          if (value !== undefined) query.set(name, value);
        const page: DeadLetterPage = await request(DeadLetterPage, 'GET', `${pathOf(one.queue)}?${query}`);
        items.push(...page.items);
        more ||= page.searched < page.total;
        cursor = page.nextCursor;
      }
    }
    return { queues: found, items, more };
  }

  /** The letter, in whichever queue it lies; undefined when in none. */
  async function show({
    queue,
    ids: [id = ''],
    reveal,
  }: DlqArguments): Promise<DeadLetterDetail | undefined> {
    for (const one of await queues(queue)) {
      try {
        const path = `${pathOf(one.queue)}/${encodeURIComponent(id)}?reveal=${reveal ? 'yes' : 'no'}`;
        return await request(DeadLetterDetail, 'GET', path);
      } catch (error) {
        if (!(error instanceof OperatorError) || error.code !== 'dead_letter.not_found') throw error;
      }
    }
    return undefined;
  }

  /**
   * Redrives or drops, some at a time, and tells of each as it is done. Never more than were dead when
   * it began: what dies again meanwhile waits for the next time.
   */
  async function settle(
    verb: 'redrive' | 'drop',
    asked: DlqArguments,
    told: (letters: SettledLetter[]) => void,
  ): Promise<void> {
    let left = asked.limit;
    for (const { queue, dead } of await queues(asked.queue)) {
      for (let there = dead; there > 0 && left > 0; ) {
        const body = selectionOf(asked, Math.min(there, left, settleAtOnceMax));
        const answer = verb === 'redrive' ? DeadLettersRedriven : DeadLettersDropped;
        const { items, more } = await request(answer, 'POST', `${pathOf(queue)}/${verb}`, body);
        told(items.map(({ outcome: _, ...letter }) => ({ queue, ...letter })));
        there -= items.length;
        left -= items.length;
        if (!more || items.length === 0) break;
      }
    }
  }
}

function selectionOf({ ids, type, reason, all }: DlqArguments, limit: number): DeadLetterSelection {
  return {
    ...(ids.length === 0 ? {} : { ids }),
    ...(type === undefined ? {} : { type }),
    ...(reason === undefined ? {} : { reason }),
    ...(all ? { all } : {}),
    limit,
  };
}

function contextOf(queue: string): ConsumingContext {
  const context = consumingContexts.find((name) => name === queue.split('.')[0]);
  if (context === undefined)
    throw new OperatorError(`there is no queue ${queue}; "bun run dlq list" names them`);
  return context;
}
