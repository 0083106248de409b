import { ProblemDetails } from '@contracts/common.ts';
import { Tokens } from '@contracts/people.ts';
import { Value } from '@sinclair/typebox/value';
import type { UitGoClientOptions } from './index.ts';

export interface TokenStore {
  tokens(): Tokens | undefined;
  keep(tokens: Tokens | undefined): void;
  /** `fetch` as whoever is logged in. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
}

/** Holds the tokens of one login, and renews them when the server says that they have expired. */
export function createTokenStore(url: string, options: UitGoClientOptions): TokenStore {
  const send = options.fetch ?? fetch;
  let tokens = options.tokens;
  let renewing: Promise<boolean> | undefined;

  function keep(next: Tokens | undefined): void {
    tokens = next;
    options.onTokens?.(next);
  }

  const sendAs = (accessToken: string | undefined, input: string | URL | Request, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    if (accessToken !== undefined) headers.set('authorization', `Bearer ${accessToken}`);
    return send(input, { ...init, headers });
  };

  return {
    tokens: () => tokens,
    keep,
    async fetch(input, init) {
      const shown = tokens?.accessToken;
      const response = await sendAs(shown, input, init);
      if (shown === undefined || response.status !== 401 || (await codeOf(response)) !== 'auth.token_expired')
        return response;
      return (await renewed(shown)) ? sendAs(tokens?.accessToken, input, init) : response;
    },
  };

  /** True once there is another token than the one that was refused. Calls under way share one renewal. */
  async function renewed(refused: string): Promise<boolean> {
    if (tokens !== undefined && tokens.accessToken !== refused) return true;
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  async function renew(): Promise<boolean> {
    if (tokens === undefined) return false;
    const response = await send(`${url}/v1/auth/refresh`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ refreshToken: tokens.refreshToken }),
    });
    const next: unknown = await response.json();
    if (response.ok && Value.Check(Tokens, next)) {
      keep(next);
      return true;
    }
    // Refused for good: whoever uses the client has to log in again. Anything else may pass.
    if (response.status === 401) keep(undefined);
    return false;
  }
}

async function codeOf(response: Response): Promise<string | undefined> {
  const problem: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  return Value.Check(ProblemDetails, problem) ? problem.code : undefined;
}
