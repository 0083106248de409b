import { join } from 'node:path';
import { ProblemDetails } from '@contracts/common.ts';
import { LoginSession } from '@contracts/people.ts';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

/** An error that the user of the command can correct. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  constructor(
    message: string,
    /** The code of the problem response, if there was one. */
    readonly code?: string,
  ) {
    super(message);
  }
}

export interface OperatorClient {
  /** Throws OperatorError for any response other than 2xx with this schema. */
  request<S extends TSchema>(
    answer: S,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<Static<S>>;
  /** Ends the login session, if one was started. */
  signOut(): Promise<void>;
}

export interface OperatorCredentials {
  email: string;
  password: string;
}

const EdgeFile = Type.Object({ url: Type.String(), secrets: Type.String() });
const Secrets = Type.Object({ OPS_EMAIL: Type.String(), OPS_PASSWORD: Type.String() });

/** The credentials of the operator: from the environment, otherwise of the dev or stack that runs at `url` in this folder. */
export async function findOperatorCredentials(
  url: string,
  folder: string,
  env: Record<string, string | undefined>,
): Promise<OperatorCredentials | undefined> {
  if (Value.Check(Secrets, env)) return { email: env.OPS_EMAIL, password: env.OPS_PASSWORD };
  const edgeFile = await readJson(join(folder, '.uitgo', 'edge.json'));
  // The password belongs to this server and must not be sent to another one.
  if (!Value.Check(EdgeFile, edgeFile) || edgeFile.url !== url) return undefined;
  const secrets = await readJson(edgeFile.secrets);
  if (!Value.Check(Secrets, secrets)) return undefined;
  return { email: secrets.OPS_EMAIL, password: secrets.OPS_PASSWORD };
}

async function readJson(path: string): Promise<unknown> {
  try {
    return await Bun.file(path).json();
  } catch {
    return undefined;
  }
}

const requestTimeoutMs = 15_000;

export async function signInOperator(
  url: string,
  as: OperatorCredentials | { token: string },
): Promise<OperatorClient> {
  if ('token' in as) return { request: createRequester(url, as.token), signOut: async () => undefined };
  const body = { email: as.email, password: as.password };
  const { tokens, person } = await createRequester(url)(LoginSession, 'POST', '/v1/auth/login', body);
  if (person.role !== 'ops') throw new OperatorError(`${as.email} is not an operator but a ${person.role}`);
  const request = createRequester(url, tokens.accessToken);
  return {
    request,
    async signOut() {
      const { refreshToken } = tokens;
      // A failure does not matter, because the session expires by itself.
      await request(Type.Any(), 'POST', '/v1/auth/logout', { refreshToken }).catch(() => undefined);
    },
  };
}

function createRequester(url: string, token?: string): OperatorClient['request'] {
  return async (answer, method, path, body) => {
    const { status, received } = await send(url, token, method, path, body);
    if (status >= 300) {
      const problem = Value.Check(ProblemDetails, received) ? received : undefined;
      const description =
        problem === undefined ? `${status}` : `${problem.code}: ${problem.detail ?? problem.title}`;
      throw new OperatorError(`${method} ${path} answered ${description}`, problem?.code);
    }
    if (!Value.Check(answer, received))
      throw new OperatorError(`${method} ${path} answered with an unexpected body: is that a UIT-Go edge?`);
    return received;
  };
}

async function send(url: string, token: string | undefined, method: string, path: string, body: unknown) {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    const text = await response.text();
    return { status: response.status, received: parse(text) };
  } catch (error) {
    throw new OperatorError(
      `no answer from ${url}: start a server with "bun run dev" or "bun run stack", or name one with --url (${error instanceof Error ? error.message : error})`,
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
