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

export const usage = `bun run fuzz – send hostile requests to the edge and check its responses

Requests are generated from the edge's own OpenAPI document: every operation with valid, nearly valid
and unrelated bodies, for every role and without a token; hostile paths and ids; malformed heads;
ambiguous framings. Slow senders run beside them: heads and bodies that arrive byte by byte, stop half
way or never arrive. Expected of every response: a documented status, or a problem with a stable code;
no 5xx except 503 with Retry-After; no internal details and no rejected input; an end within 10 s. Slow
senders must be closed or answered within one and a half times REQUEST_TIMEOUT_MS while other clients
are served. At the end each process must have released its memory.

With --attacks, each kind of attack (unknown methods, header lines, header names in Connection, tiny
deadlines, chunk overhead, handshake flood, slow readers, half-closed connections, slow bodies, idle
connections up to the edge's limit, early disconnects, oversized parts) runs while well-behaved clients
sign in, read the key set and their trip, send positions and use a live connection. None of their
requests may fail, and the 95th percentile of each may be at most three times that before the attack
(or 100 ms). The attackers use the address 127.0.0.2 where the system has it.

  --cases N        number of cases (50000); one slow sender is added for each 50
  --seed N         the same seed gives the same cases (1)
  --slow N         concurrent slow senders (200), 0 for none
  --topology NAME  the system to start: all (one process with embedded adapters, the default)
                   or fleet (six processes on PostgreSQL, Redis and RabbitMQ)
  --attacks        run attacks instead of cases
  --seconds N      duration of each attack (10); the period before it is half as long
  --url URL        use this edge on this machine instead, without checking its memory
  --json           end with one JSON object on the last line of stdout
  --help           show this help

An edge given by --url needs OPS_EMAIL and OPS_PASSWORD in the environment for the operators' routes,
its REQUEST_TIMEOUT_MS if that is not the default, and raised limits (LIMIT_*_PER_MINUTE): otherwise
most responses are 429. With --attacks, sign-ins alone need 300 a minute.

Exit code: 0 all responses were as expected, 1 some were not, 2 wrong usage or no server.`;

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
      addError('--topology and --url exclude each other');
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
