const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const secondSignalExitCode = 130;

export type Interruption = {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP: end in order. */
  readonly signal: AbortSignal;
  /** Back to the default meaning of signals. */
  end(): void;
};

/** Turns the first signal into an abort; a second one ends this process at once. */
export const interruptible = (): Interruption => {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(secondSignalExitCode);
    console.error('\nstopping … (once more to end at once)');
    controller.abort();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    end() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
};
