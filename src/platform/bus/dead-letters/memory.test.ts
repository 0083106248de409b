import { systemClock } from '../../clock.ts';
import { createLog } from '../../log.ts';
import { systemRandom } from '../../random.ts';
import { createMemoryBus } from '../memory.ts';
import { deadLettersContract } from './dead-letters.contract.ts';

const log = createLog('silent');

deadLettersContract('dead letters of the memory bus', async (retry) => ({
  bus: createMemoryBus({ clock: systemClock, random: systemRandom, log, retry }),
  cleanup: async () => undefined,
}));
