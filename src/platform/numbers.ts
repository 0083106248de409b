// Parsers for numbers that people write: settings and command options. Each accepts plain decimal digits only and
// returns undefined for anything else: nothing is cut off, rounded or guessed.

const integerPattern = /^-?\d+$/;
const decimalPattern = /^-?\d+(\.\d+)?$/;

/** Accepts `12`, `-3`, `007`; not `12.5`, `1e6`, `0x10`, ` 7`, `+7`, `٧`, nor integers beyond 2^53. */
export function parseInteger(text: string): number | undefined {
  const value = integerPattern.test(text) ? Number(text) : Number.NaN;
  // Adding zero turns -0 into 0.
  return Number.isSafeInteger(value) ? value + 0 : undefined;
}

/** Accepts integers and `0.5`; not `.5`, `5.`, `1e6`. */
export function parseDecimal(text: string): number | undefined {
  const value = decimalPattern.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value + 0 : undefined;
}
