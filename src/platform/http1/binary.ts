import type { Socket } from 'bun';

/**
 * Bytes as text, one character for each (latin1). Heads and small bodies are kept so while they pass through:
 * to view or copy a part of a buffer costs this runtime 2 to 3 µs, a part of a string next to nothing.
 */
export type Binary = string;

const beyondAscii = /[\x80-\uffff]/;

export const binaryOf = (bytes: Buffer, start = 0, end = bytes.length): Binary =>
  bytes.toString('latin1', start, end);

/** The bytes of a text in UTF-8. */
export const encoded = (text: string): Binary =>
  beyondAscii.test(text) ? Buffer.from(text).toString('latin1') : text;

/** The text that the bytes are in UTF-8. */
export const decoded = (binary: Binary): string =>
  beyondAscii.test(binary) ? Buffer.from(binary, 'latin1').toString() : binary;

// What is written at once passes through here, so that no buffer is made for it.
const scratch = Buffer.allocUnsafe(256 * 1024);

/** Writes to a socket, and returns what it did not take; undefined when it took all, 'closed' when it is gone. */
export function writeBinary(socket: Socket<unknown>, binary: Binary): Uint8Array | 'closed' | undefined {
  if (binary.length > scratch.length) return writeBytes(socket, Buffer.from(binary, 'latin1'));
  scratch.write(binary, 'latin1');
  const taken = socket.write(scratch, 0, binary.length);
  if (taken === binary.length) return undefined;
  return taken < 0 ? 'closed' : Buffer.from(scratch.subarray(taken, binary.length));
}

export function writeBytes(socket: Socket<unknown>, bytes: Uint8Array): Uint8Array | 'closed' | undefined {
  const taken = socket.write(bytes);
  if (taken === bytes.length) return undefined;
  return taken < 0 ? 'closed' : bytes.subarray(taken);
}
