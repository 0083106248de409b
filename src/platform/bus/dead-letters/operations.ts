import type { DeadLetter, DeadLetterVerdict, OperableBus } from '../bus.ts';

/** Selects dead letters that match all given conditions; an empty filter selects all. */
export interface DeadLetterFilter {
  ids?: readonly string[] | undefined;
  type?: string | undefined;
  /** A part of the reason, in any case. */
  reason?: string | undefined;
}

/** The end of a page. Dead letters are listed by the time of their last failure, oldest first. */
export interface DeadLetterCursor {
  atMs: number;
  id: string;
}

export type DeadLetterHeader = Omit<DeadLetter, 'body'>;

export interface DeadLetterList {
  deadLetters: DeadLetterHeader[];
  /** Undefined on the last page. */
  next: DeadLetterCursor | undefined;
  /** Dead letters in the queue. */
  total: number;
  /** How many of them were visited: a long queue is not read to its end. */
  searched: number;
}

export interface SettledDeadLetters {
  deadLetters: DeadLetterHeader[];
  /** More matching dead letters may exist: the limit was reached, or the queue is too long for one scan. */
  hasMore: boolean;
}

/** Called with dead letters right before they are redriven or dropped. */
type BeforeSettle = (deadLetters: readonly DeadLetterHeader[]) => Promise<void>;

/** All dead letters that one scan visits, with their bodies; they stay in the queue. */
export async function collectDeadLetters(
  bus: Pick<OperableBus, 'scanDeadLetters'>,
  queue: string,
): Promise<DeadLetter[]> {
  const found: DeadLetter[] = [];
  await bus.scanDeadLetters(queue, async (visited) => {
    found.push(...visited);
    return { verdicts: [], isLast: false };
  });
  return found;
}

export async function listDeadLetters(
  bus: OperableBus,
  queue: string,
  page: { filter: DeadLetterFilter; after: DeadLetterCursor | undefined; limit: number },
): Promise<DeadLetterList> {
  const { filter, after, limit } = page;
  const found: DeadLetterHeader[] = [];
  const matches = createMatcher(filter);
  const scan = await bus.scanDeadLetters(queue, async (visited) => {
    // Bodies are left out, because a thousand of them may be large.
    found.push(...visited.filter(matches).map(headerOf));
    return { verdicts: [], isLast: false };
  });
  const sorted = found.toSorted((a, b) => compareCursors(cursorOf(a), cursorOf(b)));
  const remaining =
    after === undefined ? sorted : sorted.filter((letter) => compareCursors(cursorOf(letter), after) > 0);
  const deadLetters = remaining.slice(0, limit);
  const last = deadLetters.at(-1);
  const next = remaining.length > limit && last !== undefined ? cursorOf(last) : undefined;
  return { deadLetters, next, ...scan };
}

/** The first dead letter with this id, including its body. */
export async function findDeadLetter(
  bus: OperableBus,
  queue: string,
  id: string,
): Promise<DeadLetter | undefined> {
  let found: DeadLetter | undefined;
  await bus.scanDeadLetters(queue, async (visited) => {
    found = visited.find((letter) => letter.id === id);
    return { verdicts: [], isLast: found !== undefined };
  });
  return found;
}

/**
 * Puts at most `limit` matching dead letters back into their queue. `onBeforeRedrive` is called before
 * they leave, while it can still be determined which of them their consumer has already applied.
 */
export function redriveDeadLetters(
  bus: OperableBus,
  queue: string,
  filter: DeadLetterFilter,
  limit: number,
  onBeforeRedrive: BeforeSettle,
): Promise<SettledDeadLetters> {
  return settle(bus, queue, filter, limit, 'redrive', onBeforeRedrive);
}

/** Removes at most `limit` matching dead letters permanently. */
export function dropDeadLetters(
  bus: OperableBus,
  queue: string,
  filter: DeadLetterFilter,
  limit: number,
  onBeforeDrop: BeforeSettle,
): Promise<SettledDeadLetters> {
  return settle(bus, queue, filter, limit, 'drop', onBeforeDrop);
}

async function settle(
  bus: OperableBus,
  queue: string,
  filter: DeadLetterFilter,
  limit: number,
  verdict: DeadLetterVerdict,
  onBeforeSettle: BeforeSettle,
): Promise<SettledDeadLetters> {
  const settled: DeadLetterHeader[] = [];
  const matches = createMatcher(filter);
  let isLimitReached = false;
  const { total, searched } = await bus.scanDeadLetters(queue, async (visited) => {
    const selected: DeadLetterHeader[] = [];
    const verdicts = visited.map((letter): DeadLetterVerdict => {
      if (!matches(letter)) return 'keep';
      if (settled.length + selected.length >= limit) {
        isLimitReached = true;
        return 'keep';
      }
      selected.push(headerOf(letter));
      return verdict;
    });
    if (selected.length > 0) await onBeforeSettle(selected);
    settled.push(...selected);
    return { verdicts, isLast: isLimitReached };
  });
  return { deadLetters: settled, hasMore: isLimitReached || searched < total };
}

function createMatcher({ ids, type, reason }: DeadLetterFilter): (letter: DeadLetter) => boolean {
  const idSet = ids && new Set(ids);
  const reasonPart = reason?.toLowerCase();
  return (letter) =>
    (idSet?.has(letter.id) ?? true) &&
    (type === undefined || letter.type === type) &&
    (reasonPart === undefined || letter.reason.toLowerCase().includes(reasonPart));
}

const headerOf = ({ body: _, ...header }: DeadLetter): DeadLetterHeader => header;

const cursorOf = ({ lastFailedAt, id }: DeadLetterHeader): DeadLetterCursor => ({
  atMs: Date.parse(lastFailedAt),
  id,
});

const compareCursors = (a: DeadLetterCursor, b: DeadLetterCursor): number =>
  a.atMs - b.atMs || (a.id < b.id ? -1 : Number(a.id > b.id));
