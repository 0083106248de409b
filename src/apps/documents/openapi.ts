import { ProblemDetails } from '@contracts/common.ts';
import { toOpenAPISchema } from '@elysia/openapi/openapi';
import { TypeGuard } from '@sinclair/typebox';
import type { AnyElysia } from 'elysia';

// The OpenAPI document of the public surface: what @elysia/openapi makes of the routes' schemas, and
// what holds for all of them and is therefore said here once.

const openapi = '3.1.1';
const info = {
  title: 'UIT-Go',
  version: '1',
  description: `The public surface of the ride-hailing backend.

Errors are RFC 9457 problems (\`application/problem+json\`) with a stable \`code\`. Times are RFC 3339 in UTC, money is in minor units with its ISO 4217 currency, places are degrees of WGS 84, distances are metres, durations seconds. Lists have cursors. Live events come over a WebSocket, which \`/asyncapi.json\` describes.`,
  license: { name: 'MIT', identifier: 'MIT' },
};

const tags = [
  { name: 'auth', description: 'Accounts, logins, tokens, and the keys that they are signed with' },
  { name: 'me', description: 'Who I am' },
  { name: 'driver', description: 'The work of a driver: status, vehicle, positions, earnings' },
  { name: 'trip', description: 'From a quote to a receipt' },
  { name: 'payment', description: 'Cards, payments, refunds' },
  { name: 'realtime', description: 'Live events' },
  { name: 'operators', description: 'For role ops alone' },
];

const problem = (description: string, headers: object = {}) => ({
  description,
  headers: { 'x-request-id': { $ref: '#/components/headers/RequestId' }, ...headers },
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});
const retryAfter = { 'retry-after': { $ref: '#/components/headers/RetryAfter' } };

const components = {
  securitySchemes: {
    bearer: {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
      description: 'The access token of a login; 15 minutes',
    },
  },
  schemas: {
    Problem: {
      ...ProblemDetails,
      description: 'RFC 9457 problem details',
      examples: [
        {
          type: 'urn:uit-go:problem:trip.not_found',
          title: 'There is no such trip',
          status: 404,
          code: 'trip.not_found',
          requestId: '01a20438-5328-7000-be00-93adcfa25034',
        },
      ],
    },
  },
  headers: {
    RequestId: { description: 'To find the request by in our logs', schema: { type: 'string' } },
    RetryAfter: { description: 'Seconds to wait', schema: { type: 'integer', minimum: 0 } },
  },
  parameters: {
    IdempotencyKey: {
      name: 'idempotency-key',
      in: 'header',
      required: false,
      description:
        'The same key with the same body gives the same answer, whatever became of the first one; with another body 422. Kept for a day.',
      schema: { type: 'string', minLength: 1, maxLength: 200 },
      example: '4f0c1c7e-1b1f-4f57-9d8f-2b8f0a3f5b11',
    },
  },
  responses: {
    Invalid: problem('The request is not as its schema says'),
    Unauthenticated: problem('The access token is missing, wrong, expired, or its session has ended'),
    Forbidden: problem('Your role may not do this'),
    NotFound: problem('There is none, or it is somebody else’s'),
    TooMany: problem('Over a limit', retryAfter),
    Unavailable: problem('A part of the system is away or overloaded', retryAfter),
    Other: problem('Any other problem, told by its code'),
  },
} as const;

interface Operation {
  operationId?: string;
  parameters?: object[];
  requestBody?: { required?: boolean; content: Record<string, unknown> };
  responses?: Record<string, { description?: string }>;
  'x-roles'?: readonly string[];
  [more: string]: unknown;
}
type Paths = Record<string, Record<string, Operation>>;

export interface ApiDocument {
  paths: Paths;
  components: { schemas: object };
  [more: string]: unknown;
}

/** The document of the public routes of an app. */
export function buildApiDocument(app: AnyElysia): ApiDocument {
  const { paths, components: named } = toOpenAPISchema(
    withoutParsers(app),
    { staticFile: false },
    undefined,
    undefined,
    openapi,
  );
  const found: Paths = {};
  for (const [path, methods] of Object.entries(paths)) {
    const shown = path.replace(/(.)\/$/, '$1');
    for (const [method, operation] of Object.entries({ ...methods }))
      found[shown] = { ...found[shown], [method]: complete(method, shown, operation as Operation) };
  }
  return documentOf(found, removeSchemaIds(named.schemas));
}

/** The generator leaves out every body that has a parser of ours, and does not know that a body may be optional. */
function withoutParsers(app: AnyElysia): AnyElysia {
  const routes = app.routes.map(({ hooks, ...route }) => {
    const detail = { ...hooks.detail, 'x-optional-body': TypeGuard.IsOptional(hooks.body) };
    return { ...route, hooks: { ...hooks, detail, parse: undefined } };
  });
  return Object.create(app, { getGlobalRoutes: { value: () => routes } });
}

/** One document of several. */
export const mergeApiDocuments = (documents: readonly ApiDocument[]): ApiDocument =>
  documentOf(
    Object.assign({}, ...documents.map(({ paths }) => paths)),
    Object.assign({}, ...documents.map(({ components }) => components.schemas)),
  );

const documentOf = (paths: Paths, schemas: object): ApiDocument => ({
  openapi,
  info,
  servers: [{ url: '/', description: 'Where this document was found' }],
  tags,
  paths,
  components: { ...components, schemas: { ...schemas, ...components.schemas } },
});

/** Elysia writes `$id` into schemas that are models; to others it is the address of another document. */
export const removeSchemaIds = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value, (key, one) => (key === '$id' ? undefined : one)));

/** What holds for every operation: a name, JSON bodies only, and the problems that it may answer with. */
function complete(method: string, path: string, operation: Operation): Operation {
  const { requestBody, 'x-idempotent': isIdempotent, 'x-optional-body': isOptional, ...rest } = operation;
  const parameters = [
    ...(operation.parameters ?? []),
    ...(isIdempotent === true ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
  ];
  const json = requestBody?.content['application/json'];
  return {
    ...rest,
    operationId: operationIdOf(method, path),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(json === undefined
      ? {}
      : { requestBody: { required: isOptional !== true, content: { 'application/json': json } } }),
    responses: { ...successesOf(operation), ...problemsOf(path, operation) },
  };
}

/** `POST /v1/trips/{id}/accept` is `postTripsByIdAccept`. */
function operationIdOf(method: string, path: string): string {
  const words = path
    .replace(/^\/v1/, '')
    .replace(/\{(\w+)\}/g, 'by-$1')
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '');
  return method + words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`).join('');
}

const meanings: Record<string, string> = {
  '101': 'The connection is a WebSocket now',
  '200': 'Done',
  '201': 'Made',
  '204': 'Done; there is nothing to tell',
};

function successesOf({ responses = {} }: Operation): Record<string, object> {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      { ...grown(response), description: meanings[status] ?? response.description ?? '' },
    ]),
  );
}

/**
 * An answer may get more fields: a client must not count on there being none. (Elysia also closes the
 * schemas of answers when it first checks one, so that the document would change with the traffic.)
 */
const grown = <T>(value: T): T =>
  JSON.parse(
    JSON.stringify(value, (key, one) => (key === 'additionalProperties' && one === false ? undefined : one)),
  );

function problemsOf(path: string, operation: Operation): Record<string, object> {
  const { parameters = [], requestBody, 'x-roles': roles = [] } = operation;
  const ref = (name: keyof typeof components.responses) => ({ $ref: `#/components/responses/${name}` });
  return {
    ...(parameters.length > 0 || requestBody !== undefined ? { 400: ref('Invalid') } : {}),
    ...(roles.length > 0 ? { 401: ref('Unauthenticated'), 403: ref('Forbidden') } : {}),
    ...(path.includes('{') ? { 404: ref('NotFound') } : {}),
    429: ref('TooMany'),
    503: ref('Unavailable'),
    default: ref('Other'),
  };
}
