/** Follows where the frames of one direction end (RFC 6455 §5.2), so that one of ours can be put in between. */
export interface FrameBoundaryTracker {
  /** These bytes go on. */
  track(bytes: Uint8Array): void;
  /** The place in these bytes where the frame under way ends; undefined, and all pass, when it goes on after them. */
  findFrameEnd(bytes: Uint8Array): number | undefined;
  isAtFrameEnd(): boolean;
}

const shortLength = 126;
const longLength = 127;
const mask = 0x80;

export function createFrameBoundaryTracker(): FrameBoundaryTracker {
  /** Bytes of the frame's head so far: two, and up to eight of a longer length. */
  const head: number[] = [];
  let payload = 0;

  const isAtFrameEnd = () => head.length === 0 && payload === 0;

  /** Takes one byte of a head; at its last one the length of the payload is known. */
  function takeHead(byte: number): void {
    head.push(byte);
    const second = head[1];
    if (second === undefined) return;
    const told = second & ~mask;
    const lengthBytes = told === longLength ? 8 : told === shortLength ? 2 : 0;
    const maskBytes = (second & mask) === 0 ? 0 : 4;
    if (head.length < 2 + lengthBytes) return;
    const length =
      lengthBytes === 0 ? told : head.slice(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0);
    payload = length + maskBytes;
    head.length = 0;
  }

  function findFrameEnd(bytes: Uint8Array, from = 0): number | undefined {
    let at = from;
    while (at < bytes.length) {
      if (payload === 0) {
        takeHead(bytes[at++] ?? 0);
        if (isAtFrameEnd()) return at;
        continue;
      }
      const taken = Math.min(payload, bytes.length - at);
      payload -= taken;
      at += taken;
      if (payload === 0) return at;
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
