import type { DeadLetterDetail, DeadLetterQueue, DeadLetterSummary } from '@contracts/dead-letters.ts';
import type { DeadLetterListing, SettledLetter } from './dead-letter-client.ts';

const reasonLengthMax = 60;

/** Columns as wide as what is in them. */
function table(head: string[], rows: string[][]): string {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatListing({ queues, items, more }: DeadLetterListing): string {
  const parts = [queuesText(queues)];
  if (items.length > 0) parts.push(lettersText(items));
  if (more)
    parts.push('There are more: take --queue, --type, --reason or a higher --limit, or settle these.');
  return parts.join('\n\n');
}

const queuesText = (queues: readonly DeadLetterQueue[]): string =>
  table(
    ['QUEUE', 'READY', 'DEAD'],
    queues.map(({ queue, ready, dead }) => [queue, String(ready), String(dead)]),
  );

const lettersText = (items: readonly DeadLetterSummary[]): string =>
  table(
    ['ID', 'QUEUE', 'TYPE', 'LAST FAILED', 'TRIES', 'REDRIVES', 'APPLIED', 'REASON'],
    items.map((letter) => [
      letter.id,
      letter.queue,
      printable(letter.type) || '?',
      letter.lastFailedAt.slice(0, 19).replace('T', ' '),
      String(letter.attempts),
      String(letter.redrives),
      appliedText(letter.alreadyApplied),
      printable(letter.reason).slice(0, reasonLengthMax),
    ]),
  );

const appliedText = (alreadyApplied: boolean | null): string =>
  alreadyApplied === null ? '?' : alreadyApplied ? 'yes' : 'no';

export function formatDetail({ body, masked, ...letter }: DeadLetterDetail): string {
  const fields: [string, string][] = [
    ['id', letter.id],
    ['queue', letter.queue],
    ['type', printable(letter.type) || '?'],
    ['reason', printable(letter.reason)],
    ['attempts', String(letter.attempts)],
    ['redrives', String(letter.redrives)],
    ['first failed', letter.firstFailedAt],
    ['last failed', letter.lastFailedAt],
    ['bytes', String(letter.bytes)],
    ['applied', appliedText(letter.alreadyApplied)],
    ['body', masked ? 'without positions; --reveal shows them' : 'as it came'],
  ];
  const head = fields.map(([name, value]) => `${name.padEnd(13)} ${value}`).join('\n');
  // JSON escapes the other control characters itself.
  return `${head}\n\n${JSON.stringify(body, null, 2).replace(/[\x7f-\x9f]/g, '·')}`;
}

export function formatSettled(outcome: 'redriven' | 'dropped', letters: readonly SettledLetter[]): string {
  return letters
    .map(({ queue, id, type, alreadyApplied }) => {
      const note =
        alreadyApplied === true
          ? `  applied already${outcome === 'redriven' ? ': changes nothing' : ''}`
          : '';
      return `${outcome}  ${id}  ${queue}  ${printable(type) || '?'}${note}`;
    })
    .join('\n');
}

export function formatSettledSummary(
  outcome: 'redriven' | 'dropped',
  letters: readonly SettledLetter[],
): string {
  const applied = letters.filter(({ alreadyApplied }) => alreadyApplied === true).length;
  return `${letters.length} ${outcome}, ${applied} of them applied already`;
}

/** What a stranger wrote into a message must not move the cursor of an operator's terminal. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '·');
