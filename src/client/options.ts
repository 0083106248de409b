import type { Tokens } from '@contracts/people.ts';

export interface UitGoClientOptions {
  /** The tokens of an earlier run, to continue its login session. */
  tokens?: Tokens;
  /** Called with each new pair of tokens to store, and with undefined when the login session has ended. */
  onTokens?(tokens: Tokens | undefined): void;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch;
}
