import { positionIndexContract } from './contract.ts';
import { createMemoryPositionIndex } from './memory.ts';

positionIndexContract('in memory', createMemoryPositionIndex);
