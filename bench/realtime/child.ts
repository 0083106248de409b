/** A child process that answers requests one after the other. */
export interface Child<ChildRequest, Answer> {
  pid: number;
  request(request: ChildRequest): Promise<Answer>;
  stop(): Promise<void>;
}

export interface ChildOptions<Report> {
  command: string[];
  env?: Record<string, string>;
  /** Called with each report that the child sends without a request. */
  onReport?: (report: Report) => void;
}

/** Messages are `{answer}` for a request, or `{report}` for an unsolicited report. */
interface Message<Answer, Report> {
  answer?: Answer;
  report?: Report;
}

/** Starts the child; resolves with its first answer, which it sends once it is ready. */
export async function startChild<ChildRequest, Answer, Report = never>(
  options: ChildOptions<Report>,
): Promise<Child<ChildRequest, Answer> & { ready: Answer }> {
  const answers: PromiseWithResolvers<Answer>[] = [Promise.withResolvers()];
  const child = Bun.spawn(options.command, {
    env: { ...process.env, ...options.env },
    stdout: 'ignore',
    stderr: 'inherit',
    serialization: 'json',
    ipc(message: Message<Answer, Report>) {
      if (message.report !== undefined) options.onReport?.(message.report);
      if (message.answer !== undefined) answers.shift()?.resolve(message.answer);
    },
    onExit(_, code) {
      for (const { reject } of answers) reject(new Error(`${options.command.at(-1)} ended with ${code}`));
    },
  });
  const [first] = answers;
  if (first === undefined) throw new Error('no pending answer');
  const ready = await first.promise;
  return {
    pid: child.pid,
    ready,
    request(request) {
      const answer = Promise.withResolvers<Answer>();
      answers.push(answer);
      child.send(request);
      return answer.promise;
    },
    async stop() {
      child.kill('SIGKILL');
      await child.exited;
    },
  };
}

/** Runs in the child: answers every request of the parent. */
export function answerRequests<ChildRequest, Answer>(
  answer: (request: ChildRequest) => Answer | Promise<Answer>,
): void {
  process.on('message', async (request: ChildRequest) => {
    try {
      process.send?.({ answer: await answer(request) });
    } catch (error) {
      console.error(error);
      process.exit(1);
    }
  });
  process.on('disconnect', () => process.exit(0));
}

export const sendReport = <Report>(report: Report): void => void process.send?.({ report });
export const sendReady = <Answer>(answer: Answer): void => void process.send?.({ answer });
