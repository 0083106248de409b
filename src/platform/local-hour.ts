/** Offsets from UTC are whole quarter hours and change on a quarter hour. */
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
 * Returns a function that computes the hour of the day in a time zone, 0 to 23, with daylight saving. Formatting a
 * date takes some µs, so the result is cached for its quarter hour.
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
