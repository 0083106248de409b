import { parseTimestamp } from '@contracts/common.ts';

const usualLength = '2026-11-26T02:53:07.125Z'.length;
const minuteLength = '2026-11-26T02:53:'.length;

/**
 * Creates a parser that returns the same as `parseTimestamp` (unix ms, NaN for an invalid date) at a fraction of
 * the cost. Positions that arrive together belong to the same minute, so the parsed minute is cached and only
 * the digits of seconds and milliseconds are read.
 */
export function createTimestampParser(): (text: string) => number {
  let minute = ' ';
  let minuteMs = Number.NaN;

  return (text) => {
    const seconds = digit(text, 17) * 10 + digit(text, 18);
    if (text.length !== usualLength || seconds > 59) return parseTimestamp(text);
    if (!text.startsWith(minute)) {
      const begin = text.slice(0, minuteLength);
      const ms = parseTimestamp(`${begin}00Z`);
      if (Number.isNaN(ms)) return ms;
      minute = begin;
      minuteMs = ms;
    }
    return minuteMs + seconds * 1_000 + digit(text, 20) * 100 + digit(text, 21) * 10 + digit(text, 22);
  };
}

const digit = (text: string, at: number): number => text.charCodeAt(at) - 48;
