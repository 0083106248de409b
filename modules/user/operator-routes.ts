import { formatTimestamp } from '@contracts/common.ts';
import {
  BanBody,
  KeysRotated,
  PersonPath,
  PersonQuery,
  PersonRecord,
  RotateKeysBody,
} from '@contracts/operators.ts';
import type { Guard } from '@platform/auth/guard.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { Elysia } from 'elysia';
import type { AccountRecord, OperatorService } from './operators.ts';
import { personView } from './views.ts';

const role = 'ops';

/** The operators' routes for people and signing keys: `/v1/ops/people` and `/v1/ops/signing-keys`. */
export function createUserOperatorRoutes({ guard, operators }: { guard: Guard; operators: OperatorService }) {
  return new Elysia({
    name: 'user:operators',
    prefix: '/v1/ops',
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .get('/people', async ({ query }) => showRecord(await operators.findRecordByEmail(query.email)), {
      role,
      query: PersonQuery,
      response: { 200: PersonRecord },
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
        summary: 'Find a person by email',
      },
    })
    .get('/people/:id', async ({ params }) => showRecord(await operators.findRecord(params.id)), {
      role,
      params: PersonPath,
      response: { 200: PersonRecord },
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
        summary: 'Get a person with the operator actions on them',
      },
    })
    .post(
      '/people/:id/ban',
      async ({ principal, params, body }) =>
        showRecord(await operators.ban(principal.id, params.id, body.reason)),
      {
        role,
        params: PersonPath,
        body: BanBody,
        response: { 200: PersonRecord },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Ban a person and end their sessions',
        },
      },
    )
    .post(
      '/people/:id/unban',
      async ({ principal, params, body }) =>
        showRecord(await operators.unban(principal.id, params.id, body.reason)),
      {
        role,
        params: PersonPath,
        body: BanBody,
        response: { 200: PersonRecord },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Unban a person',
        },
      },
    )
    .post(
      '/signing-keys/rotate',
      async ({ principal, body }) => {
        const rotation = await operators.rotateKeys(principal.id, body.reason, body.compromised);
        return {
          keyId: rotation.kid,
          activeFrom: formatTimestamp(rotation.activeFromMs),
          othersEndAt: formatTimestamp(rotation.othersEndAtMs),
        };
      },
      {
        role,
        body: RotateKeysBody,
        response: { 200: KeysRotated },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Rotate the signing key of access tokens',
        },
      },
    );
}

function showRecord({ account, actions }: AccountRecord): PersonRecord {
  return {
    person: personView(account),
    bannedAt: account.bannedAtMs === null ? null : formatTimestamp(account.bannedAtMs),
    actions: actions.map(({ atMs, ...action }) => ({ ...action, at: formatTimestamp(atMs) })),
  };
}
