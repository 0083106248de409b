import { randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isProcessAlive } from '../servers/process-tree.ts';
import type { SupervisedService } from './supervisor.ts';

/*
 * The control server of a running stack. `bun run service NAME` asks it to hand a service over: the stack suspends its own
 * process and answers with the environment of the service. Once the process that took over has ended, the stack
 * starts its own again.
 */

const ControlFile = Type.Object({ url: Type.String(), token: Type.String() });
const TakeoverRequest = Type.Object({ pid: Type.Integer({ minimum: 1 }) });
const Takeover = Type.Object({ env: Type.Record(Type.String(), Type.String()) });
export type Takeover = Static<typeof Takeover>;

const pollMs = 250;

export interface StackControl {
  stop(): Promise<void>;
}

const controlFile = (dir: string): string => join(dir, 'control.json');

/** Starts the control server of a stack whose folder is `dir`. Its address and token are in a file for its owner only. */
export function startStackControl(
  services: Readonly<Record<string, SupervisedService>>,
  dir: string,
): StackControl {
  const token = randomBytes(24).toString('base64url');
  const takenOver = new Map<string, ReturnType<typeof setInterval>>();
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    routes: {
      '/services/:name/takeover': {
        async POST(request) {
          if (!hasToken(request, token)) return new Response('wrong token', { status: 401 });
          const service = services[request.params.name];
          if (service === undefined) return new Response('unknown service', { status: 404 });
          if (takenOver.has(service.name)) return new Response('already taken over', { status: 409 });
          const body: unknown = await request.json();
          if (!Value.Check(TakeoverRequest, body)) return new Response('invalid request', { status: 400 });
          takenOver.set(service.name, resumeAfter(service, body.pid));
          await service.suspend();
          return Response.json({ env: service.env } satisfies Takeover);
        },
      },
    },
    fetch: () => new Response('not found', { status: 404 }),
  });
  mkdirSync(dir, { recursive: true });
  const text = JSON.stringify({ url: server.url.origin, token } satisfies Static<typeof ControlFile>);
  writeFileSync(controlFile(dir), text, { mode: 0o600 });

  return {
    async stop() {
      for (const timer of takenOver.values()) clearInterval(timer);
      rmSync(controlFile(dir), { force: true });
      await server.stop(true);
    },
  };

  function resumeAfter(service: SupervisedService, pid: number) {
    const timer = setInterval(() => {
      if (isProcessAlive(pid)) return;
      clearInterval(timer);
      takenOver.delete(service.name);
      service.resume();
    }, pollMs);
    return timer;
  }
}

function hasToken(request: Request, token: string): boolean {
  const given = Buffer.from(request.headers.get('authorization') ?? '');
  const expected = Buffer.from(`Bearer ${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

export type TakeoverResult =
  | { kind: 'taken_over'; env: Takeover['env'] }
  | { kind: 'failed'; message: string };

/** Takes a service over from the stack whose folder is `dir`, until the process `pid` has ended. */
export async function takeOverService(dir: string, name: string, pid: number): Promise<TakeoverResult> {
  const control = readControlFile(dir);
  if (control === undefined) return { kind: 'failed', message: noStack };
  try {
    const response = await fetch(`${control.url}/services/${name}/takeover`, {
      method: 'POST',
      headers: { authorization: `Bearer ${control.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ pid }),
    });
    if (!response.ok) return { kind: 'failed', message: `${name}: ${await response.text()}` };
    const takeover: unknown = await response.json();
    if (!Value.Check(Takeover, takeover)) return { kind: 'failed', message: `${name}: invalid response` };
    return { kind: 'taken_over', env: takeover.env };
  } catch {
    return { kind: 'failed', message: noStack };
  }
}

const noStack = 'no stack is running in this folder: start one with "bun run stack"';

function readControlFile(dir: string): Static<typeof ControlFile> | undefined {
  try {
    const control: unknown = JSON.parse(readFileSync(controlFile(dir), 'utf8'));
    return Value.Check(ControlFile, control) ? control : undefined;
  } catch {
    return undefined;
  }
}
