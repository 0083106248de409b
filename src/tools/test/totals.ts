export type TestTotals = { readonly passed: number; readonly failed: number; readonly skipped: number };

/** The last line of a run: `12 passed, 0 failed`. */
export const formatTotals = (totals: TestTotals): string =>
  `${totals.passed} passed, ${totals.failed} failed`;

/**
 * Forwards bun's output as it arrives and parses the totals at its end. The JUnit report omits files that failed to
 * load; the totals count those as failed.
 */
export const readTotals = async (
  output: ReadableStream<Uint8Array>,
  forward: (bytes: Uint8Array) => void,
): Promise<TestTotals> => {
  const decoder = new TextDecoder();
  // The totals are in the last lines, so a bounded tail is enough.
  let tail = '';
  for await (const bytes of output) {
    forward(bytes);
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-tailCharacters);
  }
  return parseTotals(tail);
};

const tailCharacters = 4_000;

/** Parses the lines ` 3 pass`, ` 1 skip`, ` 1 todo`, ` 2 fail` at the end of bun's output. */
export const parseTotals = (output: string): TestTotals => {
  const plain = Bun.stripANSI(output);
  const last = (word: string): number => {
    const matches = [...plain.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, 'gm'))];
    return Number(matches.at(-1)?.[1] ?? 0);
  };
  return { passed: last('pass'), failed: last('fail'), skipped: last('skip') + last('todo') };
};
