import { runCommand } from '../tools/command/options.ts';
import { runDlqCommand } from '../tools/dlq/command.ts';
import { parseArguments, usage } from '../tools/dlq/options.ts';

/** `bun run dlq`. Resolves to the exit code: 0 done, 1 no match, 2 invalid usage, no server, or not an operator. */
export const run = (args: string[]): Promise<number> =>
  runCommand('dlq', usage, parseArguments(args), runDlqCommand);
