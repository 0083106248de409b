import { findEdgeUrl } from '../city/find-server.ts';
import { createDeadLetterClient, type DeadLetterClient, type SettledLetter } from './dead-letter-client.ts';
import {
  findOperatorCredentials,
  type OperatorClient,
  OperatorError,
  signInOperator,
} from './operator-client.ts';
import type { DlqArguments } from './options.ts';
import { formatDetail, formatListing, formatSettled, formatSettledSummary } from './table.ts';

const printError = (text: string) => void process.stderr.write(`${text}\n`);
const print = (text: string) => void process.stdout.write(`${text}\n`);

/** Resolves to the exit code: 0 done, 1 no match, 2 no server or not an operator. */
export async function runDlqCommand(args: DlqArguments): Promise<number> {
  let operator: OperatorClient | undefined;
  try {
    operator = await signIn(args);
    return await runVerb(createDeadLetterClient(operator), args);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    printError(error.message);
    return 2;
  } finally {
    await operator?.signOut();
  }
}

async function signIn({ url, token }: DlqArguments): Promise<OperatorClient> {
  const edgeUrl = url ?? (await findEdgeUrl(process.cwd()));
  if (token !== undefined) return signInOperator(edgeUrl, { token });
  const credentials = await findOperatorCredentials(edgeUrl, process.cwd(), process.env);
  if (credentials === undefined)
    throw new OperatorError(
      `no credentials for the operator of ${edgeUrl}: set OPS_EMAIL and OPS_PASSWORD, or give --token`,
    );
  return signInOperator(edgeUrl, credentials);
}

async function runVerb(client: DeadLetterClient, args: DlqArguments): Promise<number> {
  switch (args.verb) {
    case 'list': {
      const listing = await client.list(args);
      print(args.json ? JSON.stringify(listing) : formatListing(listing));
      return 0;
    }
    case 'show': {
      const letter = await client.show(args);
      if (letter === undefined) {
        printError(`there is no dead letter ${args.ids[0]}`);
        return 1;
      }
      print(args.json ? JSON.stringify(letter) : formatDetail(letter));
      return 0;
    }
    case 'redrive':
    case 'drop':
      return settle(client, args.verb, args);
  }
}

async function settle(
  client: DeadLetterClient,
  verb: 'redrive' | 'drop',
  args: DlqArguments,
): Promise<number> {
  const outcome = verb === 'redrive' ? 'redriven' : 'dropped';
  const settled: SettledLetter[] = [];
  try {
    await client.settle(verb, args, (batch) => {
      settled.push(...batch);
      if (batch.length > 0) (args.json ? printError : print)(formatSettled(outcome, batch));
    });
  } finally {
    // Also printed when an outage interrupted the command: these dead letters are settled.
    const alreadyApplied = settled.filter((letter) => letter.alreadyApplied === true).length;
    if (args.json) print(JSON.stringify({ [outcome]: settled.length, alreadyApplied, items: settled }));
    else print(formatSettledSummary(outcome, settled));
  }
  return settled.length > 0 ? 0 : 1;
}
