/** A JSON schema of the OpenAPI document, with the keywords that are used here. */
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
  /** The path with its parameters in braces. */
  path: string;
  parameters: Parameter[];
  body: Schema | undefined;
  /** The documented statuses. */
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

/** Fetches every operation of the public API. Throws if the edge serves no document. */
export async function fetchOperations(url: string): Promise<Operation[]> {
  const response = await fetch(`${url}/openapi/json`);
  if (!response.ok) throw new Error(`${url}/openapi/json answered ${response.status}`);
  return operationsOf((await response.json()) as FuzzedApiDocument);
}

export function operationsOf(document: FuzzedApiDocument): Operation[] {
  const operations = Object.entries(document.paths).flatMap(([path, byMethod]) =>
    Object.entries(byMethod)
      .filter(([method]) => methods.has(method))
      .map(([method, rawOperation]) => operationOf(document, method.toUpperCase(), path, rawOperation)),
  );
  if (operations.length === 0) throw new Error('the OpenAPI document has no operations');
  return operations;
}

function operationOf(
  document: FuzzedApiDocument,
  method: string,
  path: string,
  rawOperation: RawOperation,
): Operation {
  const body = rawOperation.requestBody?.content?.['application/json']?.schema;
  return {
    method,
    path,
    parameters: (rawOperation.parameters ?? []).map(({ schema, ...parameter }) => ({
      ...parameter,
      ...(schema === undefined ? {} : { schema: resolveSchema(document, schema) }),
    })),
    body: body === undefined ? undefined : resolveSchema(document, body),
    statuses: Object.keys(rawOperation.responses ?? {})
      .map(Number)
      .filter(Number.isFinite),
  };
}

/** Resolves references in a schema, up to a depth of 12. */
function resolveSchema(document: FuzzedApiDocument, schema: Schema, depth = 0): Schema {
  if (depth > 12) return {};
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined)
    return resolveSchema(document, document.components?.schemas?.[name] ?? {}, depth + 1);
  const resolveInner = (inner: Schema) => resolveSchema(document, inner, depth + 1);
  return {
    ...schema,
    anyOf: (schema.anyOf ?? schema.oneOf)?.map(resolveInner),
    properties:
      schema.properties &&
      Object.fromEntries(Object.entries(schema.properties).map(([key, inner]) => [key, resolveInner(inner)])),
    items: schema.items && resolveInner(schema.items),
  };
}
