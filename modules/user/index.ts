import {
  KeySet,
  LoginBody,
  LoginSession,
  Person,
  RefreshBody,
  RegisterBody,
  Tokens,
  UpdateMeBody,
} from '@contracts/people.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { FetchKeySet } from '@platform/auth/verifier.ts';
import { Elysia } from 'elysia';
import { createUserOperatorRoutes } from './operator-routes.ts';
import type { OperatorService } from './operators.ts';
import type { UserService } from './service.ts';
import type { LoginSessions } from './sessions/login-sessions.ts';
import { personView, tokensView } from './views.ts';

export interface UserRoutesDeps {
  guard: Guard;
  service: UserService;
  sessions: LoginSessions;
  operators: OperatorService;
  keys: FetchKeySet;
}

const anyRole = { role: ['rider', 'driver', 'ops'] } as const;

export function createUserRoutes({ guard, service, sessions, operators, keys }: UserRoutesDeps) {
  return new Elysia({ name: 'user', normalize: false })
    .use(createAuthRoutes({ guard, service, sessions }))
    .use(createMeRoutes({ guard, service }))
    .use(createUserOperatorRoutes({ guard, operators }))
    .use(createKeyRoutes({ guard, keys }));
}

function createAuthRoutes({
  guard,
  service,
  sessions,
}: Pick<UserRoutesDeps, 'guard' | 'service' | 'sessions'>) {
  // Answers hold secrets: nothing on the way may keep them (RFC 6749, section 5.1).
  return new Elysia({
    name: 'user:auth',
    prefix: '/v1/auth',
    normalize: false,
    detail: { tags: ['auth'] },
  })
    .use(guard)
    .onBeforeHandle(({ set }) => {
      set.headers['cache-control'] = 'no-store';
    })
    .post(
      '/register',
      async ({ body, status }) => {
        const { account, tokens } = await service.register(body);
        return status(201, { person: personView(account), tokens: tokensView(tokens) });
      },
      {
        open: true,
        body: RegisterBody,
        response: { 201: LoginSession },
        detail: { summary: 'Open an account as rider or driver, and log in' },
      },
    )
    .post(
      '/login',
      async ({ body, request }) => {
        const { account, tokens } = await service.login(body, addressOf(request));
        return { person: personView(account), tokens: tokensView(tokens) };
      },
      {
        open: true,
        body: LoginBody,
        response: { 200: LoginSession },
        detail: { summary: 'Log in with email and password' },
      },
    )
    .post('/refresh', async ({ body }) => tokensView(await sessions.refresh(body.refreshToken)), {
      open: true,
      body: RefreshBody,
      response: { 200: Tokens },
      detail: { summary: 'Take a refresh token, once, for a new pair of tokens' },
    })
    .post(
      '/logout',
      async ({ body, status }) => {
        await sessions.close(body.refreshToken);
        return status(204);
      },
      // The refresh token is the proof: who wants to leave may have no valid access token any more.
      {
        open: true,
        body: RefreshBody,
        detail: {
          summary: 'End the session of a refresh token',
          responses: { 204: { description: 'Done' } },
        },
      },
    );
}

/** The client's address as the edge believes it: it overwrites what comes from outside. */
const addressOf = (request: Request): string => request.headers.get('x-forwarded-for') ?? '';

function createMeRoutes({ guard, service }: Pick<UserRoutesDeps, 'guard' | 'service'>) {
  return new Elysia({
    name: 'user:me',
    prefix: '/v1/users',
    normalize: false,
    detail: { tags: ['me'] },
  })
    .use(guard)
    .get('/me', async ({ principal }) => personView(await service.findAccount(principal.id)), {
      ...anyRole,
      response: { 200: Person },
      detail: { summary: 'Who I am' },
    })
    .patch(
      '/me',
      async ({ principal, body }) => personView(await service.updateAccount(principal.id, body)),
      {
        ...anyRole,
        body: UpdateMeBody,
        response: { 200: Person },
        detail: { summary: 'Change my name or my phone number' },
      },
    );
}

function createKeyRoutes({ guard, keys }: Pick<UserRoutesDeps, 'guard' | 'keys'>) {
  return new Elysia({ name: 'user:keys', normalize: false, detail: { tags: ['auth'] } }).use(guard).get(
    '/.well-known/jwks.json',
    ({ set }) => {
      set.headers['cache-control'] = 'public, max-age=15';
      return keys();
    },
    {
      open: true,
      response: { 200: KeySet },
      detail: { summary: 'The public keys that access tokens are signed with' },
    },
  );
}
