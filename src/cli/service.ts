import { parseOptions, runCommand } from '../tools/command/options.ts';
import { serviceNames } from '../tools/local/fleet.ts';
import { runService } from '../tools/local/service.ts';

const help = `bun run service NAME: debug one service of the running stack

Stops this service in the stack of this folder ("bun run stack" in another terminal) and runs it here
from its sources, on the same port and under Bun's debugger. The stack starts its own process again
when this one ends. NAME is one of: ${serviceNames.join(', ')}.

  LOG_LEVEL          debug, info (default), warn, error
  --inspect ADDRESS  HOST:PORT of the debugger (default: chosen and printed by Bun)
  --break            wait for a debugger before the service starts
  --watch            restart the service when one of its files changes
  --help             show this help`;

/** `bun run service`. Resolves to the exit code: that of the service, or 2 on wrong usage or without a stack. */
export const run = (args: string[]): Promise<number> =>
  runCommand(
    'service',
    help,
    parseOptions(
      args,
      {
        inspect: { type: 'string' },
        break: { type: 'boolean', default: false },
        watch: { type: 'boolean', default: false },
      },
      ({ values, positionals, addError }) => {
        const name = serviceNames.find((service) => service === positionals[0]);
        if (name === undefined || positionals.length !== 1)
          addError(`name one service: ${serviceNames.join(', ')}`);
        const { inspect, break: breaks, watch: watches } = values;
        return { name: name ?? 'gateway', inspect, breaks, watches };
      },
      true,
    ),
    runService,
  );
