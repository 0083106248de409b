import type { Handler, RequestInfo } from '@platform/http/edge-request.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import type { EdgeRequestInfo } from './edge/request-info.ts';
import type { ContextName } from './routing/public-route.ts';

/** Handles a request of a server. It returns at once where nothing has to be awaited, because a promise costs time. */
export type EdgeHandler<Incoming, Outgoing> = (request: Incoming) => Outgoing | Promise<Outgoing>;

/** Handles what the edge admits: the contexts of this process, or the proxy to them. Throws problems. */
export type EdgeNext<Incoming, Outgoing> = Handler<
  Incoming,
  Outgoing,
  Pick<EdgeRequestInfo, keyof RequestInfo | 'route'>
>;

/** The balanced clients of the services behind the gateway. */
export type ContextUpstreams = Readonly<Record<ContextName, Upstream>>;
