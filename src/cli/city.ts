import { runCityCommand } from '../tools/city/command.ts';
import { parseArguments, usage } from '../tools/city/options.ts';
import { runCommand } from '../tools/command/options.ts';

/** `bun run city`. Resolves to the exit code: 0 success, 1 violations or unprovoked errors, 2 wrong usage or no server. */
export const run = (args: string[]): Promise<number> =>
  runCommand('city', usage, parseArguments(args), runCityCommand);
