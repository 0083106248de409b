import { ProblemDetails } from '@contracts/common.ts';
import { Tokens } from '@contracts/people.ts';
import { Value } from '@sinclair/typebox/value';
import type { UitGoClientOptions } from './options.ts';

export interface TokenStore {
  tokens(): Tokens | undefined;
  setTokens(tokens: Tokens | undefined): void;
  /** `fetch` with the current access token. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
}

/** Holds the tokens of one login session, and refreshes them when the server answers that they have expired. */
export function createTokenStore(url: string, options: UitGoClientOptions): TokenStore {
  const send = options.fetch ?? fetch;
  let tokens = options.tokens;
  let refreshing: Promise<boolean> | undefined;

  function setTokens(next: Tokens | undefined): void {
    tokens = next;
    options.onTokens?.(next);
  }

  const sendWithToken = (
    accessToken: string | undefined,
    input: string | URL | Request,
    init?: RequestInit,
  ) => {
    const headers = new Headers(init?.headers);
    if (accessToken !== undefined) headers.set('authorization', `Bearer ${accessToken}`);
    return send(input, { ...init, headers });
  };

  return {
    tokens: () => tokens,
    setTokens,
    async fetch(input, init) {
      const sent = tokens?.accessToken;
      const response = await sendWithToken(sent, input, init);
      if (sent === undefined || response.status !== 401 || (await codeOf(response)) !== 'auth.token_expired')
        return response;
      return (await hasNewToken(sent)) ? sendWithToken(tokens?.accessToken, input, init) : response;
    },
  };

  /** Resolves to true once there is another token than the expired one. Calls in flight share one refresh. */
  async function hasNewToken(expired: string): Promise<boolean> {
    if (tokens !== undefined && tokens.accessToken !== expired) return true;
    refreshing ??= refresh().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  async function refresh(): Promise<boolean> {
    if (tokens === undefined) return false;
    const response = await send(`${url}/v1/auth/refresh`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ refreshToken: tokens.refreshToken }),
    });
    const next: unknown = await response.json();
    if (response.ok && Value.Check(Tokens, next)) {
      setTokens(next);
      return true;
    }
    // 401 is final: the user must log in again. Any other failure may be temporary.
    if (response.status === 401) setTokens(undefined);
    return false;
  }
}

async function codeOf(response: Response): Promise<string | undefined> {
  const details: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  return Value.Check(ProblemDetails, details) ? details.code : undefined;
}
