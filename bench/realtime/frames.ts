/**
 * The minimum of RFC 6455 that a bench client needs: it counts frames and answers pings. A real client would
 * spend more on each frame than the server, and would become the bottleneck of the measurement.
 */
export interface FrameReader {
  /** Reads bytes from the socket and calls the listener for each complete frame. */
  read(chunk: Uint8Array): void;
}

export interface FrameListener {
  onText(payload: Uint8Array | undefined): void;
  onPing(payload: Uint8Array): void;
  onClose(code: number): void;
}

const opcodes = { text: 1, close: 8, ping: 9 } as const;
const empty = new Uint8Array(0);

export function createFrameReader(listener: FrameListener, payloads: boolean): FrameReader {
  /** Bytes of an incomplete frame whose payload is needed. */
  let pending = empty;
  /** Bytes of a text frame that are still to come and can be skipped. */
  let bytesToSkip = 0;

  return {
    read(chunk) {
      let offset = Math.min(bytesToSkip, chunk.length);
      bytesToSkip -= offset;
      const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      pending = empty;
      while (offset < bytes.length) {
        const next = readFrame(bytes, offset);
        if (next < 0) {
          pending = bytes.slice(offset);
          return;
        }
        offset = next;
      }
    },
  };

  /** Returns the offset of the next frame; -1 when this frame is incomplete. */
  function readFrame(bytes: Uint8Array, at: number): number {
    if (bytes.length - at < 2) return -1;
    const opcode = (bytes[at] ?? 0) & 15;
    let length = (bytes[at + 1] ?? 0) & 127;
    let start = at + 2;
    if (length === 126) {
      if (bytes.length - at < 4) return -1;
      length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
      start = at + 4;
    } else if (length === 127) throw new Error('frame exceeds 64 KB');
    const end = start + length;
    if (opcode === opcodes.text && !payloads) {
      listener.onText(undefined);
      if (end > bytes.length) {
        bytesToSkip = end - bytes.length;
        return bytes.length;
      }
      return end;
    }
    if (end > bytes.length) return -1;
    const payload = bytes.subarray(start, end);
    if (opcode === opcodes.text) listener.onText(payload);
    if (opcode === opcodes.ping) listener.onPing(payload);
    if (opcode === opcodes.close) listener.onClose(((payload[0] ?? 0) << 8) | (payload[1] ?? 0));
    return end;
  }
}

/** Encodes a client frame with a mask of zeros, which is allowed and as cheap as no mask. */
export function encodeClientFrame(opcode: 'text' | 'pong', payload: Uint8Array): Uint8Array {
  if (payload.length > 125) throw new Error('frame exceeds 125 bytes');
  const frame = new Uint8Array(6 + payload.length);
  frame[0] = 0x80 | (opcode === 'text' ? 1 : 10);
  frame[1] = 0x80 | payload.length;
  frame.set(payload, 6);
  return frame;
}
