/** A JSON schema as the OpenAPI document has it; only what is looked at is named. */
export interface Schema {
  type?: string | undefined;
  const?: unknown;
  enum?: unknown[] | undefined;
  anyOf?: Schema[] | undefined;
  oneOf?: Schema[] | undefined;
  allOf?: Schema[] | undefined;
  properties?: Record<string, Schema> | undefined;
  required?: string[] | undefined;
  items?: Schema | undefined;
  pattern?: string | undefined;
  format?: string | undefined;
  minimum?: number | undefined;
  maximum?: number | undefined;
  minLength?: number | undefined;
  maxLength?: number | undefined;
  minItems?: number | undefined;
  maxItems?: number | undefined;
  $ref?: string | undefined;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema?: Schema;
}

export interface Operation {
  method: string;
  /** With its parameters in braces. */
  path: string;
  parameters: Parameter[];
  body: Schema | undefined;
  /** The statuses that the document promises. */
  statuses: number[];
}

interface RawOperation {
  parameters?: Parameter[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, unknown>;
}

export interface FuzzedApiDocument {
  paths: Record<string, Record<string, RawOperation>>;
  components?: { schemas?: Record<string, Schema> };
}

const methods = new Set(['get', 'put', 'post', 'delete', 'patch', 'head', 'options']);

/** Every operation of the public surface. Throws when the edge has no document. */
export async function fetchOperations(url: string): Promise<Operation[]> {
  const response = await fetch(`${url}/openapi/json`);
  if (!response.ok) throw new Error(`${url}/openapi/json answered ${response.status}`);
  return operationsOf((await response.json()) as FuzzedApiDocument);
}

export function operationsOf(document: FuzzedApiDocument): Operation[] {
  const found = Object.entries(document.paths).flatMap(([path, byMethod]) =>
    Object.entries(byMethod)
      .filter(([method]) => methods.has(method))
      .map(([method, raw]) => operationOf(document, method.toUpperCase(), path, raw)),
  );
  if (found.length === 0) throw new Error('the OpenAPI document names no operation');
  return found;
}

function operationOf(
  document: FuzzedApiDocument,
  method: string,
  path: string,
  raw: RawOperation,
): Operation {
  const body = raw.requestBody?.content?.['application/json']?.schema;
  return {
    method,
    path,
    parameters: (raw.parameters ?? []).map(({ schema, ...parameter }) => ({
      ...parameter,
      ...(schema === undefined ? {} : { schema: resolved(document, schema) }),
    })),
    body: body === undefined ? undefined : resolved(document, body),
    statuses: Object.keys(raw.responses ?? {})
      .map(Number)
      .filter(Number.isFinite),
  };
}

/** The schema that a reference names; references within it stay as they are where they are not objects of ours. */
function resolved(document: FuzzedApiDocument, schema: Schema, depth = 0): Schema {
  if (depth > 12) return {};
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return resolved(document, document.components?.schemas?.[name] ?? {}, depth + 1);
  const deeper = (inner: Schema) => resolved(document, inner, depth + 1);
  return {
    ...schema,
    anyOf: (schema.anyOf ?? schema.oneOf)?.map(deeper),
    properties:
      schema.properties &&
      Object.fromEntries(Object.entries(schema.properties).map(([key, inner]) => [key, deeper(inner)])),
    items: schema.items && deeper(schema.items),
  };
}
