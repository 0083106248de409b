import { usualUrl } from './city/find-server.ts';
import { createDesk, type Desk, type SettledLetter } from './dlq/desk.ts';
import { becomeOperator, findCredentials, type Operator, OperatorError } from './dlq/operator.ts';
import { type DlqArguments, parseArguments, usage } from './dlq/options.ts';
import { detailText, listText, settledSummary, settledText } from './dlq/table.ts';
import { runCommand } from './options.ts';

const say = (text: string) => void process.stderr.write(`${text}\n`);
const answer = (text: string) => void process.stdout.write(`${text}\n`);

/** `bun run dlq`. Resolves to the exit code: 0 done, 1 nothing fitted, 2 usage, no server, or not an operator. */
export const run = (args: string[]): Promise<number> =>
  runCommand('dlq', usage, parseArguments(args), attend);

async function attend(asked: DlqArguments): Promise<number> {
  let operator: Operator | undefined;
  try {
    operator = await signIn(asked);
    return await carryOut(createDesk(operator), asked);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    say(error.message);
    return 2;
  } finally {
    await operator?.leave();
  }
}

async function signIn({ url, token }: DlqArguments): Promise<Operator> {
  const edge = url ?? (await usualUrl(process.cwd()));
  if (token !== undefined) return becomeOperator(edge, { token });
  const credentials = await findCredentials(edge, process.cwd(), process.env);
  if (credentials === undefined)
    throw new OperatorError(
      `who is the operator of ${edge}? Set OPS_EMAIL and OPS_PASSWORD, or give --token`,
    );
  return becomeOperator(edge, credentials);
}

async function carryOut(desk: Desk, asked: DlqArguments): Promise<number> {
  switch (asked.verb) {
    case 'list': {
      const listed = await desk.list(asked);
      answer(asked.json ? JSON.stringify(listed) : listText(listed));
      return 0;
    }
    case 'show': {
      const letter = await desk.show(asked);
      if (letter === undefined) {
        say(`there is no dead letter ${asked.ids[0]}`);
        return 1;
      }
      answer(asked.json ? JSON.stringify(letter) : detailText(letter));
      return 0;
    }
    case 'redrive':
    case 'drop':
      return settle(desk, asked.verb, asked);
  }
}

async function settle(desk: Desk, verb: 'redrive' | 'drop', asked: DlqArguments): Promise<number> {
  const outcome = verb === 'redrive' ? 'redriven' : 'dropped';
  const letters: SettledLetter[] = [];
  try {
    await desk.settle(verb, asked, (some) => {
      letters.push(...some);
      if (some.length > 0) (asked.json ? say : answer)(settledText(outcome, some));
    });
  } finally {
    // Also of what an outage interrupted: these are done.
    const alreadyApplied = letters.filter((letter) => letter.alreadyApplied === true).length;
    if (asked.json) answer(JSON.stringify({ [outcome]: letters.length, alreadyApplied, items: letters }));
    else answer(settledSummary(outcome, letters));
  }
  return letters.length > 0 ? 0 : 1;
}
