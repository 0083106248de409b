import { parseArgs } from 'node:util';
import { createNumberReader } from '../option-number.ts';

export interface FuzzArguments {
  url: string | undefined;
  cases: number;
  seed: number;
  json: boolean;
}

export type ParsedArguments =
  | { kind: 'run'; arguments: FuzzArguments }
  | { kind: 'help' }
  | { kind: 'wrong'; message: string };

export const usage = `bun run fuzz – hostile requests against the edge, then a look at what it answered

Requests are made from the edge's own OpenAPI document: every operation, with bodies that are valid,
nearly valid or nothing of the kind, for people of every role and for nobody; hostile paths and ids;
heads that are no HTTP; framings that two servers would read in two ways. Expected of every answer: a
status that the document names, or a problem with a stable code; no 5xx but 503 with Retry-After;
nothing of the inside and nothing of what was refused; an end within 10 s.

  --cases N     how many (50000)
  --seed N      the same cases again (1)
  --url URL     this edge on this machine; without it a system of its own is started, with a memory check
  --json        ends with one JSON object on the last line of stdout
  --help        this text

An edge that is named needs OPS_EMAIL and OPS_PASSWORD in the environment for the operators' routes, and
its limits raised (LIMIT_*_PER_MINUTE): else most answers are 429.

Exit code: 0 all answers were as they should be, 1 some were not, 2 wrong usage or no server.`;

const names = {
  url: { type: 'string' },
  cases: { type: 'string', default: '50000' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** All that is wrong in one message. */
export function parseArguments(args: string[]): ParsedArguments {
  let values: ReturnType<typeof read>;
  try {
    values = read(args);
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
  if (values.help) return { kind: 'help' };
  const wrong: string[] = [];
  const number = createNumberReader<keyof typeof names>(wrong);
  const parsed: FuzzArguments = {
    url: values.url,
    cases: number('cases', values.cases, 1, 10_000_000, true),
    seed: number('seed', values.seed, 0, 2 ** 32 - 1, true),
    json: values.json,
  };
  if (parsed.url !== undefined && !isOnThisMachine(parsed.url))
    wrong.push(`--url must be an http:// URL of this machine (127.0.0.1 or localhost), not "${parsed.url}"`);
  return wrong.length > 0 ? { kind: 'wrong', message: wrong.join('\n') } : { kind: 'run', arguments: parsed };
}

const read = (args: string[]) =>
  parseArgs({ args, options: names, strict: true, allowPositionals: false }).values;

function isOnThisMachine(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(url.hostname);
}
