// How far one walk of a queue's dead letters goes. The rest waits for the next one.

export const scanLettersMax = 1_000;
/** A letter may be larger than an event may: what came from elsewhere has no bound of ours. */
export const scanBytesMax = 64 * 1024 * 1024;
/** With the wait for another walk before it, inside the time that a request may take. */
export const scanTimeoutMs = 4_000;

/** Judged, and put back with confirms, at once: at most so many are there twice after an interruption. */
export const scanBatchMax = 25;
export const scanBatchBytesMax = 8 * 1024 * 1024;
