const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const secondSignalExitCode = 130;

/**
 * One Ctrl-C arrives several times: the terminal sends it to the whole process group, and each parent runner (npx,
 * bun run) forwards it again. Only a signal after this time is a second Ctrl-C.
 */
const echoMs = 1_000;

export type Interruption = {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Restores the default signal handlers. */
  restore(): void;
};

export type InterruptionOptions = {
  /** The message that the first signal prints. */
  readonly notice?: string;
  /** Called by a second signal. By default, the process exits. */
  readonly onSecondSignal?: () => void;
};

/** Turns the first signal into an abort, and distinguishes a second one from repetitions of the first. */
export const handleInterrupts = (options: InterruptionOptions = {}): Interruption => {
  const { notice = 'stopping … (press Ctrl-C again to exit at once)' } = options;
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
