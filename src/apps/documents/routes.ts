import { publicUndocumented } from '@platform/auth/route-access.ts';
import type { Clock } from '@platform/clock.ts';
import type { UpstreamFetch } from '@platform/upstream/fetch.ts';
import { type AnyElysia, Elysia } from 'elysia';
import swaggerStyle from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' };
import swaggerScript from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' };
import { buildEventDocument } from './asyncapi.ts';
import { type ApiDocument, buildApiDocument, mergeApiDocuments } from './openapi.ts';

const documentPath = '/openapi/json';

/** `/openapi/json`: the OpenAPI document of the routes of `app`, built at the first request. */
export function apiDocumentRoute(app: AnyElysia) {
  let text: string | undefined;
  return new Elysia({ name: 'api-document', detail: publicUndocumented }).get(documentPath, () => {
    text ??= JSON.stringify(buildApiDocument(app));
    return jsonResponse(text);
  });
}

/** `/asyncapi.json`: the frames of live connections and the events between the services. */
export function eventDocumentRoute() {
  let text: string | undefined;
  return new Elysia({ name: 'event-document', detail: publicUndocumented }).get('/asyncapi.json', () => {
    text ??= JSON.stringify(buildEventDocument());
    return jsonResponse(text);
  });
}

/** The text of a document is built once. Building 200 KB takes milliseconds, and anybody may request it. */
const jsonResponse = (text: string): Response =>
  new Response(text, { headers: { 'content-type': 'application/json' } });

/** `/openapi`: the page that shows the document. All its files are served from here, none from a CDN. */
export function apiPageRoutes() {
  const page = `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>UIT-Go API</title>
  <link rel="stylesheet" href="/openapi/swagger-ui.css">
</head>
<body>
  <div id="api"></div>
  <script src="/openapi/swagger-ui.js"></script>
  <script>SwaggerUIBundle({ url: '${documentPath}', dom_id: '#api', deepLinking: true, validatorUrl: null });</script>
</body>
</html>`;
  const file = (path: string, type: string) =>
    new Response(Bun.file(path), {
      headers: { 'content-type': type, 'cache-control': 'public, max-age=86400' },
    });
  return new Elysia({ name: 'api-page', detail: publicUndocumented })
    .get('/openapi', () => new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } }))
    .get('/openapi/swagger-ui.js', () => file(swaggerScript, 'text/javascript'))
    .get('/openapi/swagger-ui.css', () => file(swaggerStyle, 'text/css'));
}

/**
 * `/openapi/json` of a fleet: the merged documents of the services. A service that does not answer is left out.
 * Then the document is cached for a second only, so that it is complete again soon.
 */
export function mergedApiDocumentRoute(services: readonly UpstreamFetch[], timeoutMs: number, clock: Clock) {
  let cached: { text: Promise<string>; untilMs: number } | undefined;
  return new Elysia({ name: 'merged-api-document', detail: publicUndocumented }).get(
    documentPath,
    async () => {
      if (cached === undefined || clock.nowMs() >= cached.untilMs) {
        const pending = { text: merge(), untilMs: Number.POSITIVE_INFINITY };
        cached = pending;
        pending.text.catch(() => {
          cached = undefined;
        });
      }
      return jsonResponse(await cached.text);
    },
  );

  async function merge(): Promise<string> {
    const documents = await Promise.all(services.map((call) => fetchDocument(call, timeoutMs)));
    const available = documents.filter((document) => document !== undefined);
    if (available.length < services.length && cached !== undefined)
      cached.untilMs = clock.nowMs() + incompleteTtlMs;
    return JSON.stringify(mergeApiDocuments(available));
  }
}

const incompleteTtlMs = 1_000;

async function fetchDocument(call: UpstreamFetch, timeoutMs: number): Promise<ApiDocument | undefined> {
  try {
    const response = await call({ target: documentPath, timeoutMs, isRepeatable: true });
    return response.ok ? ((await response.json()) as ApiDocument) : undefined;
  } catch {
    return undefined;
  }
}
