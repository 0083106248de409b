// How far one scan of a dead-letter queue goes. The rest is left for the next scan.

export const scannedDeadLettersMax = 1_000;
/** Dead letters may be larger than events, because messages from other sources have no size limit of ours. */
export const scanBytesMax = 64 * 1024 * 1024;
/** Together with the wait for another scan this stays within the time limit of a request. */
export const scanTimeoutMs = 4_000;

/** Dead letters visited and redriven at once: at most this many are duplicated by an interruption. */
export const scanBatchMax = 25;
export const scanBatchBytesMax = 8 * 1024 * 1024;
