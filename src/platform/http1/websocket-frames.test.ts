import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createFrameBoundaryTracker } from './websocket-frames.ts';

/** An unmasked frame, as servers send it. */
function frame(bytes: number): Buffer {
  const length =
    bytes < 126
      ? [bytes]
      : bytes < 65_536
        ? [126, bytes >> 8, bytes & 255]
        : [127, 0, 0, 0, 0, 0, (bytes >> 16) & 255, (bytes >> 8) & 255, bytes & 255];
  return Buffer.concat([Buffer.from([0x82, ...length]), Buffer.alloc(bytes, 0x88)]);
}

const sizes = fc.array(fc.constantFrom(0, 1, 5, 125, 126, 300, 65_535, 65_536, 70_000), { maxLength: 6 });

test('the next end of a frame is found exactly, wherever the bytes are cut', () => {
  fc.assert(
    fc.property(sizes, fc.nat(200_000), (list, at) => {
      const frames = list.map(frame);
      const whole = Buffer.concat(frames);
      const cut = whole.length === 0 ? 0 : at % whole.length;
      const ends = createFrameBoundaryTracker();
      ends.track(whole.subarray(0, cut));
      let end = 0;
      const all = frames.map(({ length }) => (end += length));
      expect(ends.isAtFrameEnd()).toBe(cut === 0 || all.includes(cut));
      if (ends.isAtFrameEnd()) return;
      const next = all.find((one) => one > cut) ?? 0;
      expect(ends.findFrameEnd(whole.subarray(cut))).toBe(next - cut);
      expect(ends.isAtFrameEnd()).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('a frame that continues beyond the bytes has no end in them', () => {
  const ends = createFrameBoundaryTracker();
  expect(ends.findFrameEnd(frame(300).subarray(0, 100))).toBeUndefined();
  expect(ends.isAtFrameEnd()).toBe(false);
});
