import {
  DeadLetterDetail,
  DeadLetterDetailQuery,
  DeadLetterPage,
  DeadLetterPath,
  DeadLetterQuery,
  DeadLetterQueues,
  DeadLetterSelection,
  type DeadLetterSummary,
  DeadLettersDropped,
  DeadLettersRedriven,
  deadLetterSelectionMax,
  QueuePath,
} from '@contracts/dead-letters.ts';
import type { PersonId } from '@contracts/ids.ts';
import { Elysia } from 'elysia';
import type { Guard } from '../auth/guard.ts';
import type { OperableBus } from '../bus/bus.ts';
import { maskPersonalData } from '../bus/dead-letters/mask.ts';
import {
  type DeadLetterHeader,
  dropDeadLetters,
  findDeadLetter,
  listDeadLetters,
  redriveDeadLetters,
} from '../bus/dead-letters/operations.ts';
import type { Clock } from '../clock.ts';
import type { ConsumedQueue } from '../context.ts';
import type { Log } from '../log.ts';
import { defineProblems, problem } from '../problems.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { edgePolicy } from './edge-policy.ts';

const deadLetterProblem = defineProblems({
  'dead_letter.queue_unknown': ['not_found', 'Queue not found in this context'],
  'dead_letter.not_found': ['not_found', 'Dead letter not found'],
});

export interface DeadLetterRoutesDeps {
  /** The context that owns the queues. It is part of the path, so that the edge can find the service. */
  context: string;
  queues: readonly ConsumedQueue[];
  bus: OperableBus;
  guard: Guard;
  clock: Clock;
  log: Log;
}

type Selection = typeof DeadLetterSelection.static;
const pageSize = 20;
const role = 'ops';
const readPolicy = edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' });
const writePolicy = edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' });

/**
 * The operators' routes to the dead letters of one context: `/v1/ops/dead-letters/<context>/…`.
 * The log records who views a body, redrives letters or drops them.
 */
export function createDeadLetterRoutes(deps: DeadLetterRoutesDeps) {
  const { context, guard, bus } = deps;
  const { summarize, findQueue, logAction } = createDeadLetterHelpers(deps);
  const toResult = <Outcome extends 'redriven' | 'dropped'>(
    outcome: Outcome,
    letters: readonly DeadLetterSummary[],
    more: boolean,
  ) => ({
    items: letters.map(({ id, type, reason, alreadyApplied }) => ({
      id,
      type,
      reason,
      alreadyApplied,
      outcome,
    })),
    more,
  });

  /** Logs the letters before they leave the queue, so that an outage in between does not hide who acted. */
  const createRecorder =
    (
      operatorId: PersonId,
      queue: ConsumedQueue,
      action: 'redriven' | 'dropped',
      summaries: DeadLetterSummary[],
    ) =>
    async (letters: readonly DeadLetterHeader[]) => {
      summaries.push(...(await summarize(queue, letters)));
      logAction(operatorId, queue.queue, action, letters);
    };

  async function redrive(operatorId: PersonId, queueName: string, selection: Selection) {
    const summaries: DeadLetterSummary[] = [];
    const record = createRecorder(operatorId, findQueue(queueName), 'redriven', summaries);
    const { hasMore: more } = await redriveDeadLetters(bus, queueName, selection, limitOf(selection), record);
    return toResult('redriven', summaries, more);
  }

  async function drop(operatorId: PersonId, queueName: string, selection: Selection) {
    const summaries: DeadLetterSummary[] = [];
    const record = createRecorder(operatorId, findQueue(queueName), 'dropped', summaries);
    const { hasMore: more } = await dropDeadLetters(bus, queueName, selection, limitOf(selection), record);
    return toResult('dropped', summaries, more);
  }

  return new Elysia({
    name: `dead-letters:${context}`,
    prefix: `/v1/ops/dead-letters/${context}`,
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .use(createReadRoutes(deps))
    .post(
      '/:queue/redrive',
      ({ principal, params, body }) => redrive(principal.id, params.queue, requireSelection(body)),
      {
        role,
        params: QueuePath,
        body: DeadLetterSelection,
        response: { 200: DeadLettersRedriven },
        detail: { ...writePolicy, summary: 'Redrive dead letters' },
      },
    )
    .post(
      '/:queue/drop',
      ({ principal, params, body }) => drop(principal.id, params.queue, requireSelection(body)),
      {
        role,
        params: QueuePath,
        body: DeadLetterSelection,
        response: { 200: DeadLettersDropped },
        detail: { ...writePolicy, summary: 'Delete dead letters' },
      },
    )
    .delete(
      '/:queue/:id',
      async ({ principal, params, status }) => {
        const { items } = await drop(principal.id, params.queue, { ids: [params.id] });
        if (items.length === 0) throw deadLetterProblem('dead_letter.not_found');
        return status(204);
      },
      {
        role,
        params: DeadLetterPath,
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'always' }),
          summary: 'Delete a dead letter',
          responses: { 204: { description: 'No content' } },
        },
      },
    );
}

function createReadRoutes(deps: DeadLetterRoutesDeps) {
  const { context, queues, bus, guard } = deps;
  const { summarize, findQueue, logAction } = createDeadLetterHelpers(deps);
  return new Elysia({ name: `dead-letters:${context}:reading`, normalize: false })
    .use(guard)
    .get(
      '',
      async () => ({
        queues: await Promise.all(
          queues.map(async ({ queue }) => ({ queue, ...(await bus.queueCounts(queue)) })),
        ),
      }),
      {
        role,
        response: { 200: DeadLetterQueues },
        detail: { ...readPolicy, summary: 'List the queues of a context with their message counts' },
      },
    )
    .get(
      '/:queue',
      async ({ params, query: { limit = pageSize, cursor, type, reason } }) => {
        const queue = findQueue(params.queue);
        const after = readCursor(cursor);
        const selection = { type, reason };
        const page = await listDeadLetters(bus, queue.queue, { filter: selection, after, limit });
        return {
          items: await summarize(queue, page.deadLetters),
          nextCursor: page.next === undefined ? null : writeCursor(page.next),
          total: page.total,
          searched: page.searched,
        };
      },
      {
        role,
        params: QueuePath,
        query: DeadLetterQuery,
        response: { 200: DeadLetterPage },
        detail: { ...readPolicy, summary: 'List the dead letters of a queue, oldest first' },
      },
    )
    .get(
      '/:queue/:id',
      async ({ principal, params, query }) => {
        const queue = findQueue(params.queue);
        const letter = await findDeadLetter(bus, queue.queue, params.id);
        if (letter === undefined) throw deadLetterProblem('dead_letter.not_found');
        const isRevealed = query.reveal === 'yes';
        logAction(principal.id, queue.queue, isRevealed ? 'revealed' : 'shown', [letter]);
        const { body, ...header } = letter;
        const [summary] = await summarize(queue, [header]);
        return {
          ...(summary ?? { ...header, alreadyApplied: null }),
          masked: !isRevealed,
          body: isRevealed ? body : maskPersonalData(body),
        };
      },
      {
        role,
        params: DeadLetterPath,
        query: DeadLetterDetailQuery,
        response: { 200: DeadLetterDetail },
        detail: {
          ...readPolicy,
          summary: 'Get a dead letter with its body; personal data is masked unless reveal=yes',
        },
      },
    );
}

function createDeadLetterHelpers({ queues, clock, log }: DeadLetterRoutesDeps) {
  return {
    findQueue(name: string): ConsumedQueue {
      const consumedQueue = queues.find(({ queue }) => queue === name);
      if (consumedQueue === undefined) throw deadLetterProblem('dead_letter.queue_unknown');
      return consumedQueue;
    },

    /** Adds from the consumer's inbox whether each event was applied; null while the inbox is unavailable. */
    async summarize(
      { queue, appliedEvents }: ConsumedQueue,
      letters: readonly DeadLetterHeader[],
    ): Promise<DeadLetterSummary[]> {
      let appliedIds: ReadonlySet<string> | undefined;
      try {
        appliedIds = await appliedEvents?.find(letters.map(({ id }) => id));
      } catch (error) {
        log.warn({ queue, err: error }, 'failed to read applied events from the inbox');
      }
      const retainedSinceMs = clock.nowMs() - (appliedEvents?.retentionMs ?? 0);
      const isApplied = (id: string) => {
        if (appliedIds === undefined) return null;
        if (appliedIds.has(id)) return true;
        return createdAtMs(id) < retainedSinceMs ? null : false;
      };
      return letters.map((letter) => ({ ...letter, alreadyApplied: isApplied(letter.id) }));
    },

    /** Logs at level warn when the action changes the queue or reveals where people were. */
    logAction(operator: PersonId, queue: string, action: string, letters: readonly { id: string }[]): void {
      if (letters.length === 0) return;
      const ids = letters.map(({ id }) => id);
      const fields = { operator, queue, action, count: letters.length, letters: ids };
      if (action === 'shown') log.info(fields, 'operator accessed dead letters');
      else log.warn(fields, 'operator accessed dead letters');
    },
  };
}

/** The time in a UUIDv7. The ids of all events are UUIDv7. */
const createdAtMs = (id: string): number => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);

const limitOf = ({ limit = deadLetterSelectionMax }: Selection): number => limit;

/** Rejects an empty selection: to select all letters, `all` has to be said explicitly. */
function requireSelection(selection: Selection): Selection {
  const { ids, type, reason, all } = selection;
  if (ids === undefined && type === undefined && reason === undefined && all === undefined)
    throw problem('request.invalid', { detail: 'select letters by ids, type, reason or all' });
  return selection;
}
