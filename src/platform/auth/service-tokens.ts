import { createHmac, timingSafeEqual } from 'node:crypto';
import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';

// Services of one deployment authenticate to each other with tokens signed by a shared secret. A token contains the
// caller, the callee and its expiry. The secret itself is never sent, and a token is valid at one service for two minutes.

export interface ServiceTokenOptions {
  /** One secret, or several separated by commas: the first one signs and all are accepted, so that it can be rotated. */
  secret: string;
  /** The name of this service. */
  service: string;
  clock: Clock;
}

export interface ServiceCredentials {
  /** Returns the value of the header `x-service-token` for a call to the service `to`. */
  tokenFor(to: string): string;
}

const lifetimeMs = 120_000;
const renewAfterMs = 60_000;
/** The clocks of two services may differ by this much. */
const leewayMs = 60_000;
const verifiedMax = 1_000;
const tokenPattern = /^([a-z-]{1,40})\.(\d{1,16})\.([\w-]{43})$/;

const macOf = (secret: string, from: string, to: string, untilMs: number) =>
  createHmac('sha256', secret).update(`${from}\n${to}\n${untilMs}`).digest('base64url');

export function createServiceCredentials({
  secret,
  service,
  clock,
}: ServiceTokenOptions): ServiceCredentials {
  const [signingSecret = ''] = secret.split(',');
  const tokenByService = new Map<string, { token: string; atMs: number }>();

  return {
    tokenFor(to) {
      const nowMs = clock.nowMs();
      const known = tokenByService.get(to);
      if (known !== undefined && Math.abs(nowMs - known.atMs) < renewAfterMs) return known.token;
      const untilMs = Math.floor(nowMs) + lifetimeMs;
      const token = `${service}.${untilMs}.${macOf(signingSecret, service, to, untilMs)}`;
      tokenByService.set(to, { token, atMs: nowMs });
      return token;
    },
  };
}

/** Provides `{ service: true }` for routes: only services of this deployment may call them. */
export function createServiceGuard({ secret, service, clock }: ServiceTokenOptions) {
  const secrets = secret.split(',');
  // Callers send the same token for a minute, so each token is verified once.
  const verifiedUntilMs = new Map<string, number>();
  const detail = { hide: true, 'x-roles': ['service'] };

  return new Elysia({ name: `service-guard:${service}` }).macro('service', {
    detail,
    transform({ request }) {
      if (!isValid(request.headers.get(headers.serviceToken) ?? '')) throw problem('auth.service_forbidden');
    },
  });

  function isValid(token: string): boolean {
    const nowMs = clock.nowMs();
    const known = verifiedUntilMs.get(token);
    if (known !== undefined) return nowMs <= known + leewayMs;
    const [, from = '', until = '', mac = ''] = tokenPattern.exec(token) ?? [];
    const untilMs = Number(until);
    if (from === '' || untilMs < nowMs - leewayMs || untilMs > nowMs + lifetimeMs + leewayMs) return false;
    const sentMac = Buffer.from(mac);
    const isSigned = secrets.some((accepted) =>
      timingSafeEqual(sentMac, Buffer.from(macOf(accepted, from, service, untilMs))),
    );
    if (!isSigned) return false;
    if (verifiedUntilMs.size >= verifiedMax) verifiedUntilMs.clear();
    verifiedUntilMs.set(token, untilMs);
    return true;
  }
}
export type ServiceGuard = ReturnType<typeof createServiceGuard>;
