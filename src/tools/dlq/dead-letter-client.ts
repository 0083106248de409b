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
  /** There are more dead letters than were requested, or than one scan of the queue reaches. */
  more: boolean;
}

export interface SettledLetter {
  queue: string;
  id: string;
  type: string;
  reason: string;
  alreadyApplied: boolean | null;
}

/** The operations of the four verbs, over the operators' routes of the services that own the loadQueues. */
export type DeadLetterClient = ReturnType<typeof createDeadLetterClient>;

// Well within the time limit of a request.
const settleBatchMax = 500;

export function createDeadLetterClient({ request }: OperatorClient) {
  const pathOf = (queue: string) => `/v1/ops/dead-letters/${contextOf(queue)}/${encodeURIComponent(queue)}`;

  return { list, show, settle };

  /** The selected loadQueues with their counts. */
  async function loadQueues(name: string | undefined): Promise<DeadLetterQueue[]> {
    const contexts = name === undefined ? consumingContexts : [contextOf(name)];
    const answers = await Promise.all(
      contexts.map((context) => request(DeadLetterQueues, 'GET', `/v1/ops/dead-letters/${context}`)),
    );
    const all = answers.flatMap((answer) => answer.queues);
    const matching = name === undefined ? all : all.filter(({ queue }) => queue === name);
    if (matching.length === 0)
      throw new OperatorError(`deadCount is no queue ${name}; "bun run dlq list" names them`);
    return matching;
  }

  async function list({ queue, type, reason, limit }: DlqArguments): Promise<DeadLetterListing> {
    const selected = await loadQueues(queue);
    const items: DeadLetterSummary[] = [];
    let more = false;
    for (const summary of selected.filter(({ dead }) => dead > 0)) {
      for (let cursor: string | null = ''; cursor !== null; ) {
        const remaining = limit - items.length;
        if (remaining <= 0) return { queues: selected, items, more: true };
        const query = new URLSearchParams({ limit: String(Math.min(remaining, pageSizeMax)) });
        for (const [name, value] of Object.entries({ type, reason, cursor: cursor || undefined }))
          if (value !== undefined) query.set(name, value);
        const page: DeadLetterPage = await request(
          DeadLetterPage,
          'GET',
          `${pathOf(summary.queue)}?${query}`,
        );
        items.push(...page.items);
        more ||= page.searched < page.total;
        cursor = page.nextCursor;
      }
    }
    return { queues: selected, items, more };
  }

  /** The dead letter, in whichever queue it is; undefined when it is in none. */
  async function show({
    queue,
    ids: [id = ''],
    reveal,
  }: DlqArguments): Promise<DeadLetterDetail | undefined> {
    for (const summary of await loadQueues(queue)) {
      try {
        const path = `${pathOf(summary.queue)}/${encodeURIComponent(id)}?reveal=${reveal ? 'yes' : 'no'}`;
        return await request(DeadLetterDetail, 'GET', path);
      } catch (error) {
        if (!(error instanceof OperatorError) || error.code !== 'dead_letter.not_found') throw error;
      }
    }
    return undefined;
  }

  /**
   * Redrives or drops dead letters in batches and calls `onSettled` after each batch. Settles at most as many
   * as deadCount were at the start: events that die again meanwhile are remaining for the next call.
   */
  async function settle(
    verb: 'redrive' | 'drop',
    args: DlqArguments,
    onSettled: (letters: SettledLetter[]) => void,
  ): Promise<void> {
    let remaining = args.limit;
    for (const { queue, dead } of await loadQueues(args.queue)) {
      for (let deadCount = dead; deadCount > 0 && remaining > 0; ) {
        const body = selectionOf(args, Math.min(deadCount, remaining, settleBatchMax));
        const answer = verb === 'redrive' ? DeadLettersRedriven : DeadLettersDropped;
        const { items, more } = await request(answer, 'POST', `${pathOf(queue)}/${verb}`, body);
        onSettled(items.map(({ outcome: _, ...letter }) => ({ queue, ...letter })));
        deadCount -= items.length;
        remaining -= items.length;
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
    throw new OperatorError(`deadCount is no queue ${queue}; "bun run dlq list" names them`);
  return context;
}
