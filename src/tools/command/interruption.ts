const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const secondSignalExitCode = 130;

/**
 * One Ctrl-C comes several times: from the terminal to the whole group, and once more from each
 * runner above us (npx, bun run) that passes it on. Only what comes later is a person's second one.
 */
const echoMs = 1_000;

export type Interruption = {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP: end in order. */
  readonly signal: AbortSignal;
  /** Back to the default meaning of signals. */
  restore(): void;
};

export type InterruptionOptions = {
  /** Said at the first one. */
  readonly notice?: string;
  /** What a second one does; unset: it ends this process at once. */
  readonly onSecondSignal?: () => void;
};

/** Turns the first signal into an abort, and tells a second one from the echoes of the first. */
export const handleInterrupts = (options: InterruptionOptions = {}): Interruption => {
  const { notice = 'stopping … (once more to end at once)' } = options;
  const again = options.onSecondSignal ?? (() => process.exit(secondSignalExitCode));
  const controller = new AbortController();
  let firstAtMs = 0;
  const onSignal = () => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAtMs > echoMs) again();
      return;
    }
    firstAtMs = performance.now();
    console.error(`\n${notice}`);
    controller.abort();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    restore() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
};
