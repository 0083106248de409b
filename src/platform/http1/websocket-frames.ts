/** Tracks where the frames of one direction end (RFC 6455 §5.2), so that a frame of ours can be inserted. */
export interface FrameBoundaryTracker {
  /** These bytes are forwarded. */
  track(bytes: Uint8Array): void;
  /** The offset in these bytes where the current frame ends; undefined when it continues after them. */
  findFrameEnd(bytes: Uint8Array): number | undefined;
  isAtFrameEnd(): boolean;
}

const lengthOf16Bits = 126;
const lengthOf64Bits = 127;
const maskBit = 0x80;

export function createFrameBoundaryTracker(): FrameBoundaryTracker {
  /** The bytes of the current frame's head: two, and up to eight of an extended length. */
  const head: number[] = [];
  let remainingBytes = 0;

  const isAtFrameEnd = () => head.length === 0 && remainingBytes === 0;

  /** Reads one byte of a head; after the last one the length of the payload is known. */
  function readHeadByte(byte: number): void {
    head.push(byte);
    const second = head[1];
    if (second === undefined) return;
    const shortLength = second & ~maskBit;
    const lengthBytes = shortLength === lengthOf64Bits ? 8 : shortLength === lengthOf16Bits ? 2 : 0;
    const maskBytes = (second & maskBit) === 0 ? 0 : 4;
    if (head.length < 2 + lengthBytes) return;
    const length =
      lengthBytes === 0
        ? shortLength
        : head.slice(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0);
    remainingBytes = length + maskBytes;
    head.length = 0;
  }

  function findFrameEnd(bytes: Uint8Array, from = 0): number | undefined {
    let at = from;
    while (at < bytes.length) {
      if (remainingBytes === 0) {
        readHeadByte(bytes[at++] ?? 0);
        if (isAtFrameEnd()) return at;
        continue;
      }
      const taken = Math.min(remainingBytes, bytes.length - at);
      remainingBytes -= taken;
      at += taken;
      if (remainingBytes === 0) return at;
    }
    return undefined;
  }

  return {
    isAtFrameEnd,
    findFrameEnd,
    track(bytes) {
      for (let at: number | undefined = 0; at !== undefined && at < bytes.length; )
        at = findFrameEnd(bytes, at);
    },
  };
}
