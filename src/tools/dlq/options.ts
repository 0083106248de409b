import { type ParsedArguments, parseOptions } from '../command/options.ts';

export const verbs = ['list', 'show', 'redrive', 'drop'] as const;
export type Verb = (typeof verbs)[number];

/** The arguments of `bun run dlq`. */
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

export const usage = `bun run dlq – manage dead letters: events that could not be handled

  bun run dlq list                       list the queues and their dead letters
  bun run dlq show --id ID               show one dead letter with its body
  bun run dlq redrive --id ID | --all    put dead letters back into their queue, as new events
  bun run dlq drop --id ID | --all       delete dead letters permanently

  --queue NAME     only this queue, for example payment.trips (default: every queue)
  --id ID          this dead letter; may be given several times
  --type TYPE      dead letters of this event type, for example trip.completed.v1
  --reason TEXT    dead letters whose reason contains this text
  --all            redrive, drop: every dead letter
  --limit N        at most N dead letters in all (list: default 100; redrive, drop: no limit)
  --reveal         show: include personal data; the operator and the dead letter are logged
  --yes            drop: required when no --id selects the dead letters
  --url URL        the edge (default: the dev or stack that runs here, otherwise http://127.0.0.1:8080)
  --token TOKEN    an operator's access token (default: sign in with OPS_EMAIL and OPS_PASSWORD, otherwise
                   as the operator of the dev or stack that runs here)
  --json           print one JSON object as the last line of stdout
  --help           print this help

"applied" marks a dead letter whose event was already applied: redriving it has no effect. "?" marks queues
whose consumers keep no inbox, because they ignore older versions of what they change.
Exit code: 0 done, 1 no match, 2 invalid usage, no server, or not an operator.`;

const definitions = {
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
    definitions,
    ({ values, positionals, integer, addError }) => {
      const verb = verbs.find((name) => name === positionals[0]);
      if (verb === undefined || positionals.length > 1) addError(`expected one of: ${verbs.join(', ')}`);
      const { queue, id: ids = [], type, reason, all, reveal, yes, url, token, json } = values;
      const parsed: DlqArguments = {
        ...{ verb: verb ?? 'list', queue, ids, type, reason, all, reveal, yes, url, token, json },
        limit:
          values.limit !== undefined
            ? integer('limit', values.limit, 1, Number.MAX_SAFE_INTEGER)
            : verb === 'list'
              ? listLimit
              : Number.POSITIVE_INFINITY,
      };
      const message = findUsageError(parsed);
      if (message !== undefined) addError(message);
      return parsed;
    },
    true,
  );

const idPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function findUsageError({ verb, ids, type, reason, all, yes }: DlqArguments): string | undefined {
  const invalidId = ids.find((id) => !idPattern.test(id));
  if (invalidId !== undefined) return `--id ${invalidId} is not a valid id: "bun run dlq list" shows the ids`;
  const hasFilter = type !== undefined || reason !== undefined;
  switch (verb) {
    case 'list':
      return undefined;
    case 'show':
      return ids.length === 1 ? undefined : 'show takes exactly one --id';
    case 'redrive':
    case 'drop':
      if (ids.length === 0 && !hasFilter && !all)
        return `${verb} needs --id ID, --type TYPE, --reason TEXT, or --all`;
      if (all && (ids.length > 0 || hasFilter))
        return '--all cannot be combined with --id, --type or --reason';
      if (verb === 'drop' && ids.length === 0 && !yes)
        return 'this permanently drops dead letters that were not selected by --id: confirm with --yes';
      return undefined;
  }
}
