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
import { problem as commonFault, defineProblems } from '../problems.ts';
import { readCursor, writeCursor } from './cursor.ts';

const fault = defineProblems({
  'dead_letter.queue_unknown': ['not_found', 'This context has no such queue'],
  'dead_letter.not_found': ['not_found', 'There is no such dead letter in the queue'],
});

export interface DeadLetterRoutesDeps {
  /** Whose queues these are; part of the path, so that the edge finds the service that answers. */
  context: string;
  queues: readonly ConsumedQueue[];
  bus: OperableBus;
  guard: Guard;
  clock: Clock;
  log: Log;
}

type Selected = typeof DeadLetterSelection.static;
const pageSize = 20;
const role = 'ops';

/**
 * What operators may do with the dead letters of one context: `/v1/ops/dead-letters/<context>/…`.
 * Whoever looks at a body, puts letters back or drops them is written into the log.
 */
export function createDeadLetterRoutes(options: DeadLetterRoutesDeps) {
  const { context, guard, bus } = options;
  const { summaries, consumed, note } = createDesk(options);
  const settled = <Outcome extends 'redriven' | 'dropped'>(
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

  /** Noted before they leave: an outage in the middle must not hide who did it. */
  const telling =
    (person: PersonId, queue: ConsumedQueue, what: 'redriven' | 'dropped', told: DeadLetterSummary[]) =>
    async (letters: readonly DeadLetterHeader[]) => {
      told.push(...(await summaries(queue, letters)));
      note(person, queue.queue, what, letters);
    };

  async function redrive(person: PersonId, name: string, selected: Selected) {
    const told: DeadLetterSummary[] = [];
    const before = telling(person, consumed(name), 'redriven', told);
    const { more } = await redriveDeadLetters(bus, name, selected, limitOf(selected), before);
    return settled('redriven', told, more);
  }

  async function drop(person: PersonId, name: string, selected: Selected) {
    const told: DeadLetterSummary[] = [];
    const before = telling(person, consumed(name), 'dropped', told);
    const { more } = await dropDeadLetters(bus, name, selected, limitOf(selected), before);
    return settled('dropped', told, more);
  }

  return new Elysia({
    name: `dead-letters:${context}`,
    prefix: `/v1/ops/dead-letters/${context}`,
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .use(reading(options))
    .post(
      '/:queue/redrive',
      ({ principal, params, body }) => redrive(principal.id, params.queue, chosen(body)),
      {
        role,
        params: QueuePath,
        body: DeadLetterSelection,
        response: { 200: DeadLettersRedriven },
        detail: { summary: 'Put dead letters back into their queue' },
      },
    )
    .post('/:queue/drop', ({ principal, params, body }) => drop(principal.id, params.queue, chosen(body)), {
      role,
      params: QueuePath,
      body: DeadLetterSelection,
      response: { 200: DeadLettersDropped },
      detail: { summary: 'Drop dead letters for good' },
    })
    .delete(
      '/:queue/:id',
      async ({ principal, params, status }) => {
        const { items } = await drop(principal.id, params.queue, { ids: [params.id] });
        if (items.length === 0) throw fault('dead_letter.not_found');
        return status(204);
      },
      {
        role,
        params: DeadLetterPath,
        detail: { summary: 'Drop one dead letter for good', responses: { 204: { description: 'Done' } } },
      },
    );
}

function reading(options: DeadLetterRoutesDeps) {
  const { context, queues, bus, guard } = options;
  const { summaries, consumed, note } = createDesk(options);
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
        detail: { summary: 'The queues of the context, with what waits and what is dead' },
      },
    )
    .get(
      '/:queue',
      async ({ params, query: { limit = pageSize, cursor, type, reason } }) => {
        const queue = consumed(params.queue);
        const after = readCursor(cursor);
        const selection = { type, reason };
        const found = await listDeadLetters(bus, queue.queue, { selection, after, limit });
        return {
          items: await summaries(queue, found.letters),
          nextCursor: found.next === undefined ? null : writeCursor(found.next),
          total: found.total,
          searched: found.searched,
        };
      },
      {
        role,
        params: QueuePath,
        query: DeadLetterQuery,
        response: { 200: DeadLetterPage },
        detail: { summary: 'The dead letters of a queue, oldest first' },
      },
    )
    .get(
      '/:queue/:id',
      async ({ principal, params, query }) => {
        const queue = consumed(params.queue);
        const letter = await findDeadLetter(bus, queue.queue, params.id);
        if (letter === undefined) throw fault('dead_letter.not_found');
        const reveal = query.reveal === 'yes';
        note(principal.id, queue.queue, reveal ? 'revealed' : 'shown', [letter]);
        const { body, ...head } = letter;
        const [summary] = await summaries(queue, [head]);
        return {
          ...(summary ?? { ...head, alreadyApplied: null }),
          masked: !reveal,
          body: reveal ? body : maskPersonalData(body),
        };
      },
      {
        role,
        params: DeadLetterPath,
        query: DeadLetterDetailQuery,
        response: { 200: DeadLetterDetail },
        detail: { summary: 'One dead letter with its body, without positions unless they are asked for' },
      },
    );
}

function createDesk({ queues, clock, log }: DeadLetterRoutesDeps) {
  return {
    consumed(name: string): ConsumedQueue {
      const found = queues.find(({ queue }) => queue === name);
      if (found === undefined) throw fault('dead_letter.queue_unknown');
      return found;
    },

    /** With what the consumer's inbox says of them; while that can't be asked, nobody can say. */
    async summaries(
      { queue, appliedEvents }: ConsumedQueue,
      letters: readonly DeadLetterHeader[],
    ): Promise<DeadLetterSummary[]> {
      let known: ReadonlySet<string> | undefined;
      try {
        known = await appliedEvents?.find(letters.map(({ id }) => id));
      } catch (error) {
        log.warn({ queue, err: error }, 'the inbox did not say what was applied');
      }
      const rememberedMs = clock.nowMs() - (appliedEvents?.retentionMs ?? 0);
      const isApplied = (id: string) => {
        if (known === undefined) return null;
        if (known.has(id)) return true;
        return madeAtMs(id) < rememberedMs ? null : false;
      };
      return letters.map((letter) => ({ ...letter, alreadyApplied: isApplied(letter.id) }));
    },

    /** Above the level of ordinary requests when it changes something or shows where people were. */
    note(operator: PersonId, queue: string, what: string, letters: readonly { id: string }[]): void {
      if (letters.length === 0) return;
      const fields = { operator, queue, what, count: letters.length, letters: letters.map(({ id }) => id) };
      if (what === 'shown') log.info(fields, 'dead letters');
      else log.warn(fields, 'dead letters');
    },
  };
}

/** The time within a UUIDv7, as which all our events are called. */
const madeAtMs = (id: string): number => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);

const limitOf = ({ limit = deadLetterSelectionMax }: Selected): number => limit;

/** A selection that would mean all of them by leaving everything out is a slip. */
function chosen(selected: Selected): Selected {
  const { ids, type, reason, all } = selected;
  if (ids === undefined && type === undefined && reason === undefined && all === undefined)
    throw commonFault('request.invalid', { detail: 'say which letters: ids, type, reason, or all' });
  return selected;
}
