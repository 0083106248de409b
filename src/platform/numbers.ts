// Text that people write as a number: settings, options of commands. Each of these reads the one number that
// the text denotes in plain decimal digits, or gives undefined: nothing is cut, rounded or guessed.

const integerPattern = /^-?\d+$/;
const decimalPattern = /^-?\d+(\.\d+)?$/;

/** `12`, `-3`, `007`; not `12.5`, `1e6`, `0x10`, ` 7`, `+7`, `٧`, nor what a number can't hold exactly. */
export function parseInteger(text: string): number | undefined {
  const value = integerPattern.test(text) ? Number(text) : Number.NaN;
  // A zero has no sign.
  return Number.isSafeInteger(value) ? value + 0 : undefined;
}

/** An integer, or one with a fraction: `0.5`; not `.5`, `5.`, `1e6`. */
export function parseDecimal(text: string): number | undefined {
  const value = decimalPattern.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value + 0 : undefined;
}
