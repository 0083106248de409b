import type { Principal } from '@platform/auth/verifier.ts';
import type { EdgeRequest, RequestInfo } from '@platform/http/edge-request.ts';
import type { AdmittedRoute } from '../routing/public-route.ts';

// Matching values are safe to write into header lines.
const addressPattern = /^[\w.:%[\]-]{1,64}$/;
const hostPattern = /^[\w.\-:[\]]{1,255}$/;

/** What the edge knows of an admitted request. It is a class because one is created for each request, and the methods of a class are shared. */
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
    return this.readForwarded('host') ?? validHost(this.request.header('host'));
  }

  clientProtocol(): string {
    return this.readForwarded('proto') ?? 'http';
  }

  /** A trusted proxy in front knows the original host and protocol; its own request may have others. */
  private readForwarded(name: 'host' | 'proto'): string | undefined {
    return this.trustedHops > 0 ? validHost(this.request.header(`x-forwarded-${name}`)) : undefined;
  }
}

const validHost = (value: string | undefined): string | undefined =>
  value !== undefined && hostPattern.test(value) ? value : undefined;

/** The peer's address, or the address that the outermost trusted proxy added. It is never one that the client claims. */
export function clientAddressOf(request: EdgeRequest, trustedHops: number): string {
  if (trustedHops === 0) return request.peerAddress;
  const hops = (request.header('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
  const forwarded = hops.at(-trustedHops);
  return forwarded !== undefined && addressPattern.test(forwarded) ? forwarded : request.peerAddress;
}
