import { join } from 'node:path';
import type { TObject } from '@sinclair/typebox';
import { allProcessSettings } from '../all.ts';
import { gatewayProcessSettings } from '../gateway.ts';
import { processSettings } from '../settings.ts';

const sections: readonly [title: string, schema: TObject][] = [
  ['Every process', processSettings],
  ['All services in one process, or the service that needs a setting', allProcessSettings],
  ['The gateway of a fleet', gatewayProcessSettings],
];

/** The path of the file that `bun src/apps/documents/env-example.ts` writes. */
export const envExamplePath = join(import.meta.dir, '../../../.env.example');

/** The text of `.env.example`, made from the schemas of the settings. A setting without a default is not commented out. */
export function createEnvExample(): string {
  const lines = [
    '# Made from the settings by `bun src/apps/documents/env-example.ts`. Copy it to .env, which Bun reads.',
    '# docs/operations.md says which service needs which setting.',
  ];
  const listed = new Set<string>();
  for (const [title, schema] of sections) {
    lines.push('', `## ${title}`);
    const required = new Set(schema.required);
    for (const [name, { description, default: value }] of Object.entries(schema.properties)) {
      if (listed.has(name)) continue;
      listed.add(name);
      const isRequired = required.has(name) && value === undefined;
      lines.push('', `# ${description ?? ''}`, `${isRequired ? '' : '# '}${name}=${value ?? ''}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

if (import.meta.main) await Bun.write(envExamplePath, createEnvExample());
