import { createHmac, timingSafeEqual } from 'node:crypto';
import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';

// How services of one deployment prove themselves to one another: with what they share they sign who
// calls whom and until when. The secret itself never travels, and what does is good at one service for
// two minutes.

export interface ServiceTokenOptions {
  /** One secret, or several with commas between: the first signs, all are believed, so that it can change. */
  secret: string;
  /** Our own name. */
  service: string;
  clock: Clock;
}

export interface ServiceCredentials {
  /** For the header `x-service-token` of a call to the service `to`. */
  tokenFor(to: string): string;
}

const lifeMs = 120_000;
const renewedAfterMs = 60_000;
/** Clocks of two services may differ by so much. */
const leewayMs = 60_000;
const believedMax = 1_000;
const tokenPattern = /^([a-z-]{1,40})\.(\d{1,16})\.([\w-]{43})$/;

const macOf = (secret: string, from: string, to: string, untilMs: number) =>
  createHmac('sha256', secret).update(`${from}\n${to}\n${untilMs}`).digest('base64url');

export function createServiceCredentials({
  secret,
  service,
  clock,
}: ServiceTokenOptions): ServiceCredentials {
  const [signing = ''] = secret.split(',');
  const made = new Map<string, { token: string; atMs: number }>();

  return {
    tokenFor(to) {
      const nowMs = clock.nowMs();
      const known = made.get(to);
      if (known !== undefined && Math.abs(nowMs - known.atMs) < renewedAfterMs) return known.token;
      const untilMs = Math.floor(nowMs) + lifeMs;
      const token = `${service}.${untilMs}.${macOf(signing, service, to, untilMs)}`;
      made.set(to, { token, atMs: nowMs });
      return token;
    },
  };
}

/** `{ service: true }`: only services of this deployment get in. */
export function createServiceGuard({ secret, service, clock }: ServiceTokenOptions) {
  const secrets = secret.split(',');
  // Callers show the same token for a minute: it is looked at once.
  const believedUntilMs = new Map<string, number>();
  const detail = { hide: true, 'x-roles': ['service'] };

  return new Elysia({ name: `service-guard:${service}` }).macro('service', {
    detail,
    transform({ request }) {
      if (!isOneOfOurs(request.headers.get(headers.serviceToken) ?? ''))
        throw problem('auth.service_forbidden');
    },
  });

  function isOneOfOurs(token: string): boolean {
    const nowMs = clock.nowMs();
    const known = believedUntilMs.get(token);
    if (known !== undefined) return nowMs <= known + leewayMs;
    const [, from = '', until = '', mac = ''] = tokenPattern.exec(token) ?? [];
    const untilMs = Number(until);
    if (from === '' || untilMs < nowMs - leewayMs || untilMs > nowMs + lifeMs + leewayMs) return false;
    const shown = Buffer.from(mac);
    const isSigned = secrets.some((one) =>
      timingSafeEqual(shown, Buffer.from(macOf(one, from, service, untilMs))),
    );
    if (!isSigned) return false;
    if (believedUntilMs.size >= believedMax) believedUntilMs.clear();
    believedUntilMs.set(token, untilMs);
    return true;
  }
}
export type ServiceGuard = ReturnType<typeof createServiceGuard>;
