import { handleInterrupts } from '../tools/command/interruption.ts';
import { runCommand } from '../tools/command/options.ts';
import { runSimCommand } from '../tools/sim/command.ts';
import { parseArguments, usage } from '../tools/sim/options.ts';

/** `bun run sim`. Resolves to the exit code: 0 no violations, 1 violations, 2 invalid usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('sim', usage, parseArguments(args), async (parsed) => {
    const interruption = handleInterrupts();
    return runSimCommand(parsed, interruption.signal).finally(interruption.restore);
  });
