import { runCommand } from '../tools/command/options.ts';
import { runFuzzCommand } from '../tools/fuzz/command.ts';
import { parseArguments, usage } from '../tools/fuzz/options.ts';

/** `bun run fuzz`. Resolves to the exit code: 0 all responses as expected, 1 not, 2 wrong usage or no server. */
export const run = (args: string[]): Promise<number> =>
  runCommand('fuzz', usage, parseArguments(args), runFuzzCommand);
