import { timestamp } from '@contracts/common.ts';
import {
  BanBody,
  KeysRotated,
  PersonPath,
  PersonQuery,
  PersonRecord,
  RotateKeysBody,
} from '@contracts/operators.ts';
import type { Guard } from '@platform/auth/guard.ts';
import { Elysia } from 'elysia';
import type { AccountRecord, Operators } from './operators.ts';
import { showPerson } from './views.ts';

const role = 'ops';

/** What operators may do to people and keys: `/v1/ops/people` and `/v1/ops/signing-keys`. */
export function createOperatorRoutes({ guard, operators }: { guard: Guard; operators: Operators }) {
  return new Elysia({
    name: 'user:operators',
    prefix: '/v1/ops',
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .get('/people', async ({ query }) => showRecord(await operators.recordByEmail(query.email)), {
      role,
      query: PersonQuery,
      response: { 200: PersonRecord },
      detail: { summary: 'Find a person by email' },
    })
    .get('/people/:id', async ({ params }) => showRecord(await operators.record(params.id)), {
      role,
      params: PersonPath,
      response: { 200: PersonRecord },
      detail: { summary: 'A person, and what operators did to them' },
    })
    .post(
      '/people/:id/ban',
      async ({ person, params, body }) => showRecord(await operators.ban(person.id, params.id, body.reason)),
      {
        role,
        params: PersonPath,
        body: BanBody,
        response: { 200: PersonRecord },
        detail: { summary: 'End every session of a person, and let them log in no more' },
      },
    )
    .post(
      '/people/:id/unban',
      async ({ person, params, body }) =>
        showRecord(await operators.unban(person.id, params.id, body.reason)),
      {
        role,
        params: PersonPath,
        body: BanBody,
        response: { 200: PersonRecord },
        detail: { summary: 'Let a person log in again' },
      },
    )
    .post(
      '/signing-keys/rotate',
      async ({ person, body }) => {
        const rotation = await operators.rotateKeys(person.id, body.reason, body.compromised);
        return {
          keyId: rotation.kid,
          activeFrom: timestamp(rotation.activeFromMs),
          othersEndAt: timestamp(rotation.othersEndAtMs),
        };
      },
      {
        role,
        body: RotateKeysBody,
        response: { 200: KeysRotated },
        detail: { summary: 'Sign access tokens with a new key from now on' },
      },
    );
}

function showRecord({ account, actions }: AccountRecord): PersonRecord {
  return {
    person: showPerson(account),
    bannedAt: account.bannedAtMs === null ? null : timestamp(account.bannedAtMs),
    actions: actions.map(({ atMs, ...action }) => ({ ...action, at: timestamp(atMs) })),
  };
}
