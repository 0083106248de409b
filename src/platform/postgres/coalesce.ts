/**
 * One call for all who ask at the same time: whoever comes while a call is under way shares the next
 * one, which begins after they asked, so that what it finds is never older than their question.
 */
export function coalesceCalls<T>(call: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;

  function begin(): Promise<T> {
    next = undefined;
    const began = call().finally(() => {
      if (running === began) running = undefined;
    });
    running = began;
    return began;
  }

  return () => {
    if (next !== undefined) return next;
    if (running === undefined) return begin();
    next = running.then(begin, begin);
    return next;
  };
}
