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
import { edgePolicy } from '@platform/http/edge-policy.ts';
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
  // Responses contain tokens, so no cache may store them (RFC 6749, section 5.1).
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
        detail: {
          ...edgePolicy({ limitClass: 'auth', priority: 2, repeatability: 'never' }),
          summary: 'Register as rider or driver, and log in',
        },
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
        detail: {
          ...edgePolicy({ limitClass: 'auth', priority: 2, repeatability: 'never' }),
          summary: 'Log in with email and password',
        },
      },
    )
    .post('/refresh', async ({ body }) => tokensView(await sessions.refresh(body.refreshToken)), {
      open: true,
      body: RefreshBody,
      response: { 200: Tokens },
      detail: {
        ...edgePolicy({ limitClass: 'auth', priority: 2, repeatability: 'never' }),
        summary: 'Exchange a refresh token for new tokens',
      },
    })
    .post(
      '/logout',
      async ({ body, status }) => {
        await sessions.close(body.refreshToken);
        return status(204);
      },
      // The refresh token is the proof: at logout the access token may have expired already.
      {
        open: true,
        body: RefreshBody,
        detail: {
          ...edgePolicy({ limitClass: 'auth', priority: 2, repeatability: 'never' }),
          summary: 'Log out: end the session of a refresh token',
          responses: { 204: { description: 'Logged out' } },
        },
      },
    );
}

/** The client's address as set by the edge, which overwrites the header of the client. */
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
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 2, repeatability: 'always' }),
        summary: 'Get my account',
      },
    })
    .patch(
      '/me',
      async ({ principal, body }) => personView(await service.updateAccount(principal.id, body)),
      {
        ...anyRole,
        body: UpdateMeBody,
        response: { 200: Person },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'never' }),
          summary: 'Update my name or phone number',
        },
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
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
        summary: 'Get the public keys that verify access tokens',
      },
    },
  );
}
