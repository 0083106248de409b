import { fault } from '../faults.ts';

/** An opaque cursor over (time, id), newest first. */
export interface Cursor {
  atMs: number;
  id: string;
}

export const writeCursor = ({ atMs, id }: Cursor): string =>
  Buffer.from(`${atMs}.${id}`).toString('base64url');

/** Throws `request.cursor_invalid`. */
export function readCursor(text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(Buffer.from(text, 'base64url').toString());
  if (match === null) throw fault('request.cursor_invalid');
  return { atMs: Number(match[1]), id: match[2] ?? '' };
}
