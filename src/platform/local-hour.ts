/** The offset of every zone from UTC is a whole number of quarter hours, and changes at one. */
const quarterMs = 900_000;

/** Whether the runtime knows this IANA time zone. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/**
 * The hour of the day in a time zone, 0 to 23, daylight saving included. Formatting a date takes some µs, so
 * the answer is kept for the quarter hour that it is true for.
 */
export function createLocalHour(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, hour: '2-digit', hourCycle: 'h23' });
  let knownQuarter = Number.NaN;
  let knownHour = 0;
  return (atMs) => {
    const quarter = Math.floor(atMs / quarterMs);
    if (quarter !== knownQuarter) {
      knownHour = Number(format.format(quarter * quarterMs));
      knownQuarter = quarter;
    }
    return knownHour;
  };
}
