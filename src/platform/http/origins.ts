import { Type } from '@sinclair/typebox';

const origin = String.raw`https?://[a-z0-9.\-]+(:\d{1,5})?`;

/** The web origins whose pages may use the API, the REST routes and live connections alike. */
export const originsSetting = Type.String({
  pattern: `^(${origin}( *, *${origin})*)?$`,
  default: '',
  description:
    'the web origins whose pages may use the API (CORS) and open live connections, separated by commas, such as https://app.example; empty: none but pages of the same host',
});

export const readOrigins = (text: string): ReadonlySet<string> =>
  new Set(text === '' ? [] : text.split(',').map((one) => one.trim()));
