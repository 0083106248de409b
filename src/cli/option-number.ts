/**
 * Reads the numbers of a command's options. One that is no number, or is out of its bounds, adds a
 * sentence to `wrong` that says what it must be, so that all faults can be told at once.
 */
export const createNumberReader =
  <Name extends string>(wrong: string[]) =>
  (name: Name, text: string, least: number, most: number, whole = false): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value;
    wrong.push(
      `--${name} must be ${whole ? 'an integer' : 'a number'} from ${least} to ${most}, not "${text}"`,
    );
    return least;
  };
