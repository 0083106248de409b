import { type ParsedArguments, parseOptions } from '../command/options.ts';
import { type Topology, topologies } from './target.ts';

/** The parsed arguments of `bun run fuzz`. */
export interface FuzzArguments {
  /** Undefined starts a separate system with `topology`. */
  url: string | undefined;
  topology: Topology;
  cases: number;
  slowAtOnce: number;
  seed: number;
  /** Runs attacks with bystanders instead of cases, each for `attackSeconds`. */
  attacks: boolean;
  attackSeconds: number;
  json: boolean;
}

export const usage = `bun run fuzz – hostile requests against the edge, then a look at what it answered

Requests are made from the edge's own OpenAPI document: every operation, with bodies that are valid,
nearly valid or nothing of the kind, for people of every role and for nobody; hostile paths and ids;
heads that are no HTTP; framings that two servers would read in two ways. Beside them a crowd of slow
senders: heads and bodies that come by the byte, stop half way or never come. Expected of every answer: a
status that the document names, or a problem with a stable code; no 5xx but 503 with Retry-After;
nothing of the inside and nothing of what was refused; an end within 10 s; who is slow ended or answered
within one and a half times REQUEST_TIMEOUT_MS, and everybody else served meanwhile; at the end each
process with the memory that it began with.

With --attacks: beside every kind of attack (unknown methods, header lines, header names in Connection,
tiny deadlines, chunk overhead, handshake flood, slow readers, half-closed connections, slow bodies, idle
connections up to the edge's bound, early disconnects, oversized parts) well-behaved clients sign in, read the
key set and their trip, send positions and hold a live connection. None of theirs may fail, and the 95th
percentile of each may be three times that of the quiet before it (or 100 ms). The attackers come from
127.0.0.2 where the system has it.

  --cases N        how many (50000); slow senders come on top, one for each 50
  --seed N         the same cases again (1)
  --slow N         slow senders at the same time (200), 0 for none
  --topology NAME  the system of its own that is attacked: all (one process, embedded adapters; the
                   default) or fleet (six processes on PostgreSQL, Redis and RabbitMQ)
  --attacks        attacks beside bystanders instead of cases
  --seconds N      how long each kind of attack lasts (10); the quiet before it is half as long
  --url URL        instead: this edge on this machine, without a look at its memory
  --json           ends with one JSON object on the last line of stdout
  --help           this text

An edge that is named needs OPS_EMAIL and OPS_PASSWORD in the environment for the operators' routes, its
REQUEST_TIMEOUT_MS if that is not the default, and its limits raised (LIMIT_*_PER_MINUTE): else most
answers are 429. Beside attacks, sign-ins alone need 300 a minute.

Exit code: 0 all answers were as they should be, 1 some were not, 2 wrong usage or no server.`;

const names = {
  url: { type: 'string' },
  topology: { type: 'string' },
  cases: { type: 'string', default: '50000' },
  slow: { type: 'string', default: '200' },
  seed: { type: 'string', default: '1' },
  attacks: { type: 'boolean', default: false },
  seconds: { type: 'string', default: '10' },
} as const;

export const parseArguments = (args: string[]): ParsedArguments<FuzzArguments> =>
  parseOptions(args, names, ({ values, integer, addError }) => {
    const { url, json, attacks } = values;
    const topology = topologies.find((name) => name === (values.topology ?? 'all'));
    if (topology === undefined)
      addError(`--topology must be one of ${topologies.join(', ')}, not "${values.topology}"`);
    if (url !== undefined && values.topology !== undefined)
      addError('--topology and --url do not go together');
    if (url !== undefined && !isOnThisMachine(url))
      addError(`--url must be an http:// URL of this machine (127.0.0.1 or localhost), not "${url}"`);
    return {
      url,
      topology: topology ?? 'all',
      cases: integer('cases', values.cases, 1, 10_000_000),
      slowAtOnce: integer('slow', values.slow, 0, 5_000),
      seed: integer('seed', values.seed, 0, 2 ** 32 - 1),
      attacks,
      attackSeconds: integer('seconds', values.seconds, 1, 600),
      json,
    };
  });

function isOnThisMachine(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(url.hostname);
}
