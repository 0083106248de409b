import { runChecks } from '../tools/check/checks.ts';
import { parseOptions, runCommand } from '../tools/command/options.ts';

const help = `bun run check: check format, lint, types and the rules of the repository

  --fix    fix format and lint where possible
  --json   end with one JSON object: {checks: [{name, passed, seconds}]}
  --help   show this help`;

/** `bun run check`. Resolves to the exit code: 0 success, 1 a check failed, 2 wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand(
    'check',
    help,
    parseOptions(args, { fix: { type: 'boolean', default: false } }, ({ values }) => values),
    runChecks,
  );
