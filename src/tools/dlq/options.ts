import { type ParsedArguments, parseOptions } from '../command/options.ts';

export const verbs = ['list', 'show', 'redrive', 'drop'] as const;
export type Verb = (typeof verbs)[number];

/** `bun run dlq` as it was asked for. */
export interface DlqArguments {
  verb: Verb;
  /** Undefined for every queue. */
  queue: string | undefined;
  ids: string[];
  type: string | undefined;
  reason: string | undefined;
  all: boolean;
  limit: number;
  reveal: boolean;
  yes: boolean;
  url: string | undefined;
  token: string | undefined;
  json: boolean;
}

export const usage = `bun run dlq – dead letters: events that their consumers gave up on

  bun run dlq list                       the queues, and what is dead in them
  bun run dlq show --id ID               one letter with its body
  bun run dlq redrive --id ID | --all    back into its queue, as new
  bun run dlq drop --id ID | --all       gone for good

  --queue NAME     that queue only, payment.trips for instance (default: every queue)
  --id ID          that letter; may be given several times
  --type TYPE      letters of that event type, trip.completed.v1 for instance
  --reason TEXT    letters with that text in their reason
  --all            redrive, drop: every letter
  --limit N        letters in all, at most (list: 100; redrive, drop: no limit)
  --reveal         show: with the positions of people; the operator and the letter are logged
  --yes            drop: really, where no --id names the letters
  --url URL        the edge (default: the dev or stack that runs here, else http://127.0.0.1:8080)
  --token TOKEN    an operator's access token (default: signs in with OPS_EMAIL and OPS_PASSWORD, else
                   with the operator of the dev or stack that runs here)
  --json           end with one JSON object on the last line of stdout
  --help           this text

A letter whose event was applied already is marked "applied": put back, it changes nothing. "?" is for
consumers that keep no list and are safe by the version of what they change.
Exit code: 0 done, 1 nothing fitted, 2 wrong usage, no server, or not an operator.`;

const names = {
  queue: { type: 'string' },
  id: { type: 'string', multiple: true },
  type: { type: 'string' },
  reason: { type: 'string' },
  all: { type: 'boolean', default: false },
  limit: { type: 'string' },
  reveal: { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  url: { type: 'string' },
  token: { type: 'string' },
} as const;

const listLimit = 100;

export const parseArguments = (args: string[]): ParsedArguments<DlqArguments> =>
  parseOptions(
    args,
    names,
    ({ values, positionals, integer, addError }) => {
      const verb = verbs.find((name) => name === positionals[0]);
      if (verb === undefined || positionals.length > 1) addError(`say one of: ${verbs.join(', ')}`);
      const { queue, id: ids = [], type, reason, all, reveal, yes, url, token, json } = values;
      const asked: DlqArguments = {
        ...{ verb: verb ?? 'list', queue, ids, type, reason, all, reveal, yes, url, token, json },
        limit:
          values.limit !== undefined
            ? integer('limit', values.limit, 1, Number.MAX_SAFE_INTEGER)
            : verb === 'list'
              ? listLimit
              : Number.POSITIVE_INFINITY,
      };
      const message = whatIsWrong(asked);
      if (message !== undefined) addError(message);
      return asked;
    },
    true,
  );

const idPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function whatIsWrong({ verb, ids, type, reason, all, yes }: DlqArguments): string | undefined {
  const noId = ids.find((id) => !idPattern.test(id));
  if (noId !== undefined) return `--id ${noId} is none: "bun run dlq list" shows the ids`;
  const filtered = type !== undefined || reason !== undefined;
  switch (verb) {
    case 'list':
      return undefined;
    case 'show':
      return ids.length === 1 ? undefined : 'show takes one --id';
    case 'redrive':
    case 'drop':
      if (ids.length === 0 && !filtered && !all)
        return `${verb} what? --id ID, --type TYPE, --reason TEXT, or --all`;
      if (all && (ids.length > 0 || filtered)) return '--all goes with no --id, --type or --reason';
      if (verb === 'drop' && ids.length === 0 && !yes)
        return 'this drops letters that nobody named, for good: add --yes if that is meant';
      return undefined;
  }
}
