export type TestTotals = { readonly passed: number; readonly failed: number; readonly skipped: number };

/** The last line a run prints: `12 passed, 0 failed`. */
export const formatTotals = (totals: TestTotals): string =>
  `${totals.passed} passed, ${totals.failed} failed`;

/**
 * Hands bun's output on as it comes and reads the totals at its end. Its JUnit report would do for
 * the tests, but leaves out files that failed to load; the totals count those as failed.
 */
export const readTotals = async (
  output: ReadableStream<Uint8Array>,
  passOn: (bytes: Uint8Array) => void,
): Promise<TestTotals> => {
  const decoder = new TextDecoder();
  // The totals stand in the last lines: a bounded tail is enough, however much a run prints.
  let tail = '';
  for await (const bytes of output) {
    passOn(bytes);
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-tailCharacters);
  }
  return parseTotals(tail);
};

const tailCharacters = 4_000;

/** Reads the lines ` 3 pass`, ` 1 skip`, ` 1 todo`, ` 2 fail` from the end of bun's output. */
export const parseTotals = (output: string): TestTotals => {
  const plain = Bun.stripANSI(output);
  const last = (word: string): number => {
    const matches = [...plain.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, 'gm'))];
    return Number(matches.at(-1)?.[1] ?? 0);
  };
  return { passed: last('pass'), failed: last('fail'), skipped: last('skip') + last('todo') };
};
