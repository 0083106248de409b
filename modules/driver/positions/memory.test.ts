import { positionIndexContract } from './index.contract.ts';
import { createMemoryPositionIndex } from './memory.ts';

positionIndexContract('in memory', createMemoryPositionIndex);
