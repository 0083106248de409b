import type { DeadLetterDetail, DeadLetterQueue, DeadLetterSummary } from '@contracts/dead-letters.ts';
import type { DeadLetterListing, SettledLetter } from './dead-letter-client.ts';

const reasonLengthMax = 60;

/** Formats rows as columns of equal width. */
function formatTable(header: string[], rows: string[][]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, index) => Math.max(...lines.map((row) => (row[index] ?? '').length)));
  return lines
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatListing({ queues, items, more }: DeadLetterListing): string {
  const parts = [formatQueues(queues)];
  if (items.length > 0) parts.push(formatLetters(items));
  if (more)
    parts.push(
      'There are more. Narrow the list with --queue, --type or --reason, raise --limit, or settle these first.',
    );
  return parts.join('\n\n');
}

const formatQueues = (queues: readonly DeadLetterQueue[]): string =>
  formatTable(
    ['QUEUE', 'READY', 'DEAD'],
    queues.map(({ queue, ready, dead }) => [queue, String(ready), String(dead)]),
  );

const formatLetters = (items: readonly DeadLetterSummary[]): string =>
  formatTable(
    ['ID', 'QUEUE', 'TYPE', 'LAST FAILED', 'TRIES', 'REDRIVES', 'APPLIED', 'REASON'],
    items.map((letter) => [
      letter.id,
      letter.queue,
      printable(letter.type) || '?',
      letter.lastFailedAt.slice(0, 19).replace('T', ' '),
      String(letter.attempts),
      String(letter.redrives),
      formatApplied(letter.alreadyApplied),
      printable(letter.reason).slice(0, reasonLengthMax),
    ]),
  );

const formatApplied = (alreadyApplied: boolean | null): string =>
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
    ['applied', formatApplied(letter.alreadyApplied)],
    ['body', masked ? 'without personal data; --reveal shows it' : 'as received'],
  ];
  const header = fields.map(([name, value]) => `${name.padEnd(13)} ${value}`).join('\n');
  // JSON.stringify escapes the other control characters.
  return `${header}\n\n${JSON.stringify(body, null, 2).replace(/[\x7f-\x9f]/g, '·')}`;
}

export function formatSettled(outcome: 'redriven' | 'dropped', letters: readonly SettledLetter[]): string {
  return letters
    .map(({ queue, id, type, alreadyApplied }) => {
      const note =
        alreadyApplied === true ? `  already applied${outcome === 'redriven' ? ': has no effect' : ''}` : '';
      return `${outcome}  ${id}  ${queue}  ${printable(type) || '?'}${note}`;
    })
    .join('\n');
}

export function formatSettledSummary(
  outcome: 'redriven' | 'dropped',
  letters: readonly SettledLetter[],
): string {
  const applied = letters.filter(({ alreadyApplied }) => alreadyApplied === true).length;
  return `${letters.length} ${outcome}, ${applied} of them already applied`;
}

/** Replaces control characters: text from a message must not control the operator's terminal. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '·');
