import type { Principal } from '@platform/auth/verifier.ts';
import type { EdgeRequest, Handler, RequestInfo } from '@platform/http/edge-request.ts';
import type { AdmittedRoute } from '../routing/routes.ts';

// They go into header lines of ours.
const addressPattern = /^[\w.:%[\]-]{1,64}$/;
const hostPattern = /^[\w.\-:[\]]{1,255}$/;

/** What the edge knows of a request that it lets in. A class, as there is one for each request: its methods are made once. */
export class EdgeRequestInfo implements RequestInfo {
  constructor(
    private readonly request: EdgeRequest,
    private readonly trustedHops: number,
    readonly requestId: string,
    readonly principal: Principal | undefined,
    readonly dueMs: number,
    readonly route: AdmittedRoute,
  ) {}

  clientAddress(): string {
    return clientAddressOf(this.request, this.trustedHops);
  }

  clientHost(): string | undefined {
    return this.fromProxy('host') ?? fit(this.request.header('host'));
  }

  clientProtocol(): string {
    return this.fromProxy('proto') ?? 'http';
  }

  /** A proxy of ours in front may know better than the request that it made. */
  private fromProxy(what: 'host' | 'proto'): string | undefined {
    return this.trustedHops > 0 ? fit(this.request.header(`x-forwarded-${what}`)) : undefined;
  }
}

/** Handles what the gateway's edge admits. */
export type EdgeNext<Asked, Answer> = Handler<
  Asked,
  Answer,
  Pick<EdgeRequestInfo, keyof RequestInfo | 'route'>
>;

const fit = (value: string | undefined): string | undefined =>
  value !== undefined && hostPattern.test(value) ? value : undefined;

/** The peer's address, or what the outermost proxy of ours wrote: never what the client claims. */
export function clientAddressOf(request: EdgeRequest, trustedHops: number): string {
  if (trustedHops === 0) return request.peerAddress;
  const hops = (request.header('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
  const forwarded = hops.at(-trustedHops);
  return forwarded !== undefined && addressPattern.test(forwarded) ? forwarded : request.peerAddress;
}
