import { problem } from '../problems.ts';

/** An opaque cursor over (time, id), newest first. */
export interface Cursor {
  atMs: number;
  /** A UUID. */
  id: string;
}

export const writeCursor = ({ atMs, id }: Cursor): string =>
  Buffer.from(`${atMs}.${id}`).toString('base64url');

const pattern = /^(0|[1-9]\d{0,14})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Accepts exactly the texts that `writeCursor` produces. Throws `request.cursor_invalid`. */
export function readCursor(text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined;
  const [, atMs, id] = pattern.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (atMs === undefined || id === undefined) throw problem('request.cursor_invalid');
  const cursor = { atMs: Number(atMs), id };
  // The base64url decoder skips characters outside its alphabet, so the text is compared.
  if (writeCursor(cursor) !== text) throw problem('request.cursor_invalid');
  return cursor;
}
