import type { DeadLetter, DeadLetterVerdict, OperableBus } from '../bus.ts';

/** Which letters are meant: those to which all that is given applies; with nothing given, all. */
export interface DeadLetterFilter {
  ids?: readonly string[] | undefined;
  type?: string | undefined;
  /** A part of the reason, in any case. */
  reason?: string | undefined;
}

/** Where a page ended: letters are listed by the time of their last failure, oldest first. */
export interface DeadLetterCursor {
  atMs: number;
  id: string;
}

export type DeadLetterHeader = Omit<DeadLetter, 'body'>;

export interface DeadLetterList {
  letters: DeadLetterHeader[];
  /** Undefined on the last page. */
  next: DeadLetterCursor | undefined;
  /** Letters in the queue, and how many of them were looked at: a long queue is not read to its end. */
  total: number;
  searched: number;
}

export interface SettledDeadLetters {
  letters: DeadLetterHeader[];
  /** Letters that fit may be left: this stopped at its limit, or the queue is too long for one walk. */
  more: boolean;
}

export async function listDeadLetters(
  bus: OperableBus,
  queue: string,
  {
    selection,
    after,
    limit,
  }: { selection: DeadLetterFilter; after: DeadLetterCursor | undefined; limit: number },
): Promise<DeadLetterList> {
  const found: DeadLetterHeader[] = [];
  const fits = fitting(selection);
  const walk = await bus.scanDeadLetters(queue, async (letters) => {
    // Without their bodies: a thousand of those may be large.
    found.push(...letters.filter(fits).map(headOf));
    return { verdicts: [], enough: false };
  });
  const sorted = found.toSorted((a, b) => compare(placeOf(a), placeOf(b)));
  const rest = after === undefined ? sorted : sorted.filter((letter) => compare(placeOf(letter), after) > 0);
  const letters = rest.slice(0, limit);
  const last = letters.at(-1);
  const next = rest.length > limit && last !== undefined ? placeOf(last) : undefined;
  return { letters, next, ...walk };
}

/** The first letter with this id, with its body. */
export async function findDeadLetter(
  bus: OperableBus,
  queue: string,
  id: string,
): Promise<DeadLetter | undefined> {
  let found: DeadLetter | undefined;
  await bus.scanDeadLetters(queue, async (letters) => {
    found = letters.find((letter) => letter.id === id);
    return { verdicts: [], enough: found !== undefined };
  });
  return found;
}

/**
 * Puts the selected letters back into their queue, `limit` at most. `before` is told of those that
 * are about to leave, while what their consumer has applied can still be told from what it will.
 */
export function redriveDeadLetters(
  bus: OperableBus,
  queue: string,
  selection: DeadLetterFilter,
  limit: number,
  before: (letters: readonly DeadLetterHeader[]) => Promise<void>,
): Promise<SettledDeadLetters> {
  return settle(bus, queue, selection, limit, 'redrive', before);
}

/** Removes the selected letters for good, `limit` at most; `before` is told of those about to go. */
export function dropDeadLetters(
  bus: OperableBus,
  queue: string,
  selection: DeadLetterFilter,
  limit: number,
  before: (letters: readonly DeadLetterHeader[]) => Promise<void>,
): Promise<SettledDeadLetters> {
  return settle(bus, queue, selection, limit, 'drop', before);
}

async function settle(
  bus: OperableBus,
  queue: string,
  selection: DeadLetterFilter,
  limit: number,
  verdict: DeadLetterVerdict,
  before: (letters: readonly DeadLetterHeader[]) => Promise<void>,
): Promise<SettledDeadLetters> {
  const chosen: DeadLetterHeader[] = [];
  const fits = fitting(selection);
  let passedOver = false;
  const { total, searched } = await bus.scanDeadLetters(queue, async (letters) => {
    const fresh: DeadLetterHeader[] = [];
    const verdicts = letters.map((letter): DeadLetterVerdict => {
      if (!fits(letter)) return 'keep';
      if (chosen.length + fresh.length >= limit) {
        passedOver = true;
        return 'keep';
      }
      fresh.push(headOf(letter));
      return verdict;
    });
    if (fresh.length > 0) await before(fresh);
    chosen.push(...fresh);
    return { verdicts, enough: passedOver };
  });
  return { letters: chosen, more: passedOver || searched < total };
}

function fitting({ ids, type, reason }: DeadLetterFilter): (letter: DeadLetter) => boolean {
  const wanted = ids && new Set(ids);
  const part = reason?.toLowerCase();
  return (letter) =>
    (wanted?.has(letter.id) ?? true) &&
    (type === undefined || letter.type === type) &&
    (part === undefined || letter.reason.toLowerCase().includes(part));
}

const headOf = ({ body: _, ...head }: DeadLetter): DeadLetterHeader => head;

const placeOf = ({ lastFailedAt, id }: DeadLetterHeader): DeadLetterCursor => ({
  atMs: Date.parse(lastFailedAt),
  id,
});

const compare = (a: DeadLetterCursor, b: DeadLetterCursor): number =>
  a.atMs - b.atMs || (a.id < b.id ? -1 : Number(a.id > b.id));
