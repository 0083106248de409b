import { runChaosCommand } from '../tools/chaos/command.ts';
import { parseArguments, usage } from '../tools/chaos/options.ts';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { runCommand } from '../tools/command/options.ts';

/** `bun run chaos`. Resolves to the exit code: 0 no violations, 1 violations, 2 invalid usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('chaos', usage, parseArguments(args), async (parsed) => {
    const interruption = handleInterrupts();
    return runChaosCommand(parsed, interruption.signal).finally(interruption.restore);
  });
