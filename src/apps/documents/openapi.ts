import { ProblemDetails } from '@contracts/common.ts';
import { toOpenAPISchema } from '@elysia/openapi/openapi';
import type { EdgePolicy } from '@platform/http/edge-policy.ts';
import { TypeGuard } from '@sinclair/typebox';
import type { AnyElysia } from 'elysia';

// Builds the OpenAPI document of the public API: what @elysia/openapi derives from the routes' schemas, and
// what is common to all operations.

const openapi = '3.1.1';
const info = {
  title: 'UIT-Go',
  version: '1',
  description: `The public API of the UIT-Go ride-hailing backend.

Errors are RFC 9457 problems (\`application/problem+json\`) with a stable \`code\`. Times are RFC 3339 in UTC. Money is in minor units with its ISO 4217 currency. Coordinates are WGS 84 degrees, distances are metres and durations are seconds. Lists are paginated with cursors. Live events are delivered over a WebSocket, which \`/asyncapi.json\` describes.`,
  license: { name: 'MIT', identifier: 'MIT' },
};

const tags = [
  { name: 'auth', description: 'Registration, login, tokens and signing keys' },
  { name: 'me', description: 'The profile of the current user' },
  { name: 'driver', description: 'Driver status, vehicle, positions and earnings' },
  { name: 'trip', description: 'Trips, from quote to receipt' },
  { name: 'payment', description: 'Payment methods, payments and refunds' },
  { name: 'realtime', description: 'Live events over a WebSocket' },
  { name: 'operators', description: 'Operator routes; they need the role ops' },
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
      description: 'An access token from login or refresh, valid for 15 minutes',
    },
  },
  schemas: {
    Problem: {
      ...ProblemDetails,
      description: 'RFC 9457 problem details',
      examples: [
        {
          type: 'urn:uit-go:problem:trip.not_found',
          title: 'Trip not found',
          status: 404,
          code: 'trip.not_found',
          requestId: '01a20438-5328-7000-be00-93adcfa25034',
        },
      ],
    },
  },
  headers: {
    RequestId: { description: 'Identifies the request in the logs', schema: { type: 'string' } },
    RetryAfter: {
      description: 'Seconds to wait before the next attempt',
      schema: { type: 'integer', minimum: 0 },
    },
  },
  parameters: {
    IdempotencyKey: {
      name: 'idempotency-key',
      in: 'header',
      required: false,
      description:
        'A repeated request with the same key and body gets the response of the first one. The same key with another body is 422. Keys are kept for a day.',
      schema: { type: 'string', minLength: 1, maxLength: 200 },
      example: '4f0c1c7e-1b1f-4f57-9d8f-2b8f0a3f5b11',
    },
  },
  responses: {
    Invalid: problem('The request does not match its schema'),
    Unauthenticated: problem('The access token is missing, invalid, expired or revoked'),
    Forbidden: problem('The role of the caller does not allow this operation'),
    NotFound: problem('The resource does not exist or belongs to another user'),
    TooMany: problem('Too many requests', retryAfter),
    Unavailable: problem('The service is unavailable or overloaded', retryAfter),
    Other: problem('Any other problem, identified by its code'),
  },
} as const;

interface Operation {
  operationId?: string;
  parameters?: object[];
  requestBody?: { required?: boolean; content: Record<string, unknown> };
  responses?: Record<string, { description?: string }>;
  'x-edge'?: EdgePolicy;
  'x-roles'?: readonly string[];
  [extension: string]: unknown;
}
type Paths = Record<string, Record<string, Operation>>;

export interface ApiDocument {
  paths: Paths;
  components: { schemas: object };
  [extension: string]: unknown;
}

/** Builds the document of the public routes of an app. */
export function buildApiDocument(app: AnyElysia): ApiDocument {
  const { paths, components: named } = toOpenAPISchema(
    withoutParsers(app),
    { staticFile: false },
    undefined,
    undefined,
    openapi,
  );
  const documentedPaths: Paths = {};
  for (const [path, methods] of Object.entries(paths)) {
    const publicPath = path.replace(/(.)\/$/, '$1');
    for (const [method, operation] of Object.entries({ ...methods }))
      documentedPaths[publicPath] = {
        ...documentedPaths[publicPath],
        [method]: completeOperation(method, publicPath, operation as Operation),
      };
  }
  return createDocument(documentedPaths, removeSchemaIds(named.schemas));
}

/** The generator omits bodies that have a custom parser, and has no notion of an optional body. */
function withoutParsers(app: AnyElysia): AnyElysia {
  const routes = app.routes.map(({ hooks, ...route }) => {
    const detail = { ...hooks.detail, 'x-optional-body': TypeGuard.IsOptional(hooks.body) };
    return { ...route, hooks: { ...hooks, detail, parse: undefined } };
  });
  return Object.create(app, { getGlobalRoutes: { value: () => routes } });
}

/** Merges several documents into one. */
export const mergeApiDocuments = (documents: readonly ApiDocument[]): ApiDocument =>
  createDocument(
    Object.assign({}, ...documents.map(({ paths }) => paths)),
    Object.assign({}, ...documents.map(({ components }) => components.schemas)),
  );

const createDocument = (paths: Paths, schemas: object): ApiDocument => ({
  openapi,
  info,
  servers: [{ url: '/', description: 'The server of this document' }],
  tags,
  paths,
  components: { ...components, schemas: { ...schemas, ...components.schemas } },
});

/** Removes `$id`, which Elysia writes into the schemas of models. JSON Schema treats it as the URL of another document. */
export const removeSchemaIds = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value, (key, member) => (key === '$id' ? undefined : member)));

/** Adds what every operation has: an id, JSON bodies only, and its possible problems. */
function completeOperation(method: string, path: string, operation: Operation): Operation {
  const { requestBody, 'x-edge': edgePolicy, 'x-optional-body': isOptional, ...rest } = operation;
  const parameters = [
    ...(operation.parameters ?? []),
    ...(edgePolicy?.repeatability === 'with_key' ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
  ];
  const json = requestBody?.content['application/json'];
  return {
    ...rest,
    operationId: operationIdOf(method, path),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(json === undefined
      ? {}
      : { requestBody: { required: isOptional !== true, content: { 'application/json': json } } }),
    responses: { ...successResponsesOf(operation), ...problemResponsesOf(path, operation) },
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

const statusDescriptions: Record<string, string> = {
  '101': 'The connection is upgraded to a WebSocket',
  '200': 'Success',
  '201': 'Created',
  '204': 'No content',
};

function successResponsesOf({ responses = {} }: Operation): Record<string, object> {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      { ...allowMoreFields(response), description: statusDescriptions[status] ?? response.description ?? '' },
    ]),
  );
}

/**
 * Allows additional fields in responses, because clients must tolerate new ones. Elysia also closes the schemas
 * of responses when it first validates one, so the document would depend on the traffic.
 */
const allowMoreFields = <T>(value: T): T =>
  JSON.parse(
    JSON.stringify(value, (key, member) =>
      key === 'additionalProperties' && member === false ? undefined : member,
    ),
  );

function problemResponsesOf(path: string, operation: Operation): Record<string, object> {
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
