import { expect, test } from 'bun:test';
import { formatTotals, parseTotals, readTotals } from './totals.ts';

const output = `
(pass) a trip is created [3.00ms]

 1234 pass
 1 skip
 2 todo
 3 fail
 1 error
 99 expect() calls
Ran 1240 tests across 3 files. [9.00ms]
`;

test('the totals are those that bun prints, with skipped and todo tests counted separately', () => {
  expect(parseTotals(output)).toEqual({ passed: 1234, failed: 3, skipped: 3 });
});

test('the totals are found in coloured output', () => {
  expect(parseTotals('\u001b[32m 5 pass\u001b[0m\n\u001b[2m 0 fail\u001b[0m\n')).toEqual({
    passed: 5,
    failed: 0,
    skipped: 0,
  });
});

test('numbers that a test prints are not taken for totals', () => {
  expect(parseTotals(` 8 pass\n 0 fail\n${output}`).passed).toBe(1234);
});

test('the output is forwarded unchanged, also if it arrives in pieces', async () => {
  const pieces = [output.slice(0, 47), output.slice(47)].map((piece) => new TextEncoder().encode(piece));
  let passedOn = '';
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const totals = await readTotals(stream, (bytes) => {
    passedOn += new TextDecoder().decode(bytes);
  });
  expect(passedOn).toBe(output);
  expect(totals.passed).toBe(1234);
});

test('the last line of a run shows passed and failed', () => {
  expect(formatTotals({ passed: 3, failed: 1, skipped: 1 })).toBe('3 passed, 1 failed');
});
