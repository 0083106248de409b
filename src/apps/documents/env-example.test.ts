import { expect, test } from 'bun:test';
import { createEnvExample, envExamplePath } from './env-example.ts';

test('.env.example matches the settings: `bun src/apps/documents/env-example.ts` writes it', async () => {
  expect(await Bun.file(envExamplePath).text()).toBe(createEnvExample());
});
