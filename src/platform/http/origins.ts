import { isOrigin, setting, splitList } from '../config.ts';

/** The web origins whose pages may use the API, for REST routes and live connections alike. */
export const originsSetting = {
  ...setting.list(
    'the web origins whose pages may use the API (CORS) and open live connections, separated by commas, such as https://app.example; when empty, only pages of the same host',
    isOrigin,
    { default: '' },
  ),
  formerName: 'ALLOWED_ORIGINS',
};

export const parseOrigins = (text: string): ReadonlySet<string> =>
  new Set(text === '' ? [] : splitList(text));
