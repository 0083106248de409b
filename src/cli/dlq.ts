import { findEdgeUrl } from '../tools/city/find-server.ts';
import { runCommand } from '../tools/command/options.ts';
import {
  createDeadLetterClient,
  type DeadLetterClient,
  type SettledLetter,
} from '../tools/dlq/dead-letter-client.ts';
import {
  findOperatorCredentials,
  type OperatorClient,
  OperatorError,
  signInOperator,
} from '../tools/dlq/operator-client.ts';
import { type DlqArguments, parseArguments, usage } from '../tools/dlq/options.ts';
import { formatDetail, formatListing, formatSettled, formatSettledSummary } from '../tools/dlq/table.ts';

const say = (text: string) => void process.stderr.write(`${text}\n`);
const answer = (text: string) => void process.stdout.write(`${text}\n`);

/** `bun run dlq`. Resolves to the exit code: 0 done, 1 nothing fitted, 2 usage, no server, or not an operator. */
export const run = (args: string[]): Promise<number> =>
  runCommand('dlq', usage, parseArguments(args), attend);

async function attend(asked: DlqArguments): Promise<number> {
  let operator: OperatorClient | undefined;
  try {
    operator = await signIn(asked);
    return await carryOut(createDeadLetterClient(operator), asked);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    say(error.message);
    return 2;
  } finally {
    await operator?.signOut();
  }
}

async function signIn({ url, token }: DlqArguments): Promise<OperatorClient> {
  const edge = url ?? (await findEdgeUrl(process.cwd()));
  if (token !== undefined) return signInOperator(edge, { token });
  const credentials = await findOperatorCredentials(edge, process.cwd(), process.env);
  if (credentials === undefined)
    throw new OperatorError(
      `who is the operator of ${edge}? Set OPS_EMAIL and OPS_PASSWORD, or give --token`,
    );
  return signInOperator(edge, credentials);
}

async function carryOut(desk: DeadLetterClient, asked: DlqArguments): Promise<number> {
  switch (asked.verb) {
    case 'list': {
      const listed = await desk.list(asked);
      answer(asked.json ? JSON.stringify(listed) : formatListing(listed));
      return 0;
    }
    case 'show': {
      const letter = await desk.show(asked);
      if (letter === undefined) {
        say(`there is no dead letter ${asked.ids[0]}`);
        return 1;
      }
      answer(asked.json ? JSON.stringify(letter) : formatDetail(letter));
      return 0;
    }
    case 'redrive':
    case 'drop':
      return settle(desk, asked.verb, asked);
  }
}

async function settle(
  desk: DeadLetterClient,
  verb: 'redrive' | 'drop',
  asked: DlqArguments,
): Promise<number> {
  const outcome = verb === 'redrive' ? 'redriven' : 'dropped';
  const letters: SettledLetter[] = [];
  try {
    await desk.settle(verb, asked, (some) => {
      letters.push(...some);
      if (some.length > 0) (asked.json ? say : answer)(formatSettled(outcome, some));
    });
  } finally {
    // Also of what an outage interrupted: these are done.
    const alreadyApplied = letters.filter((letter) => letter.alreadyApplied === true).length;
    if (asked.json) answer(JSON.stringify({ [outcome]: letters.length, alreadyApplied, items: letters }));
    else answer(formatSettledSummary(outcome, letters));
  }
  return letters.length > 0 ? 0 : 1;
}
