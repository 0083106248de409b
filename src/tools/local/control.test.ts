import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../testing/until.ts';
import { findFreePort } from '../servers/ports.ts';
import { type StackControl, startStackControl, takeOverService } from './control.ts';
import { type SupervisedService, supervise } from './supervisor.ts';

const program = `Bun.serve({ hostname: '127.0.0.1', port: Number(process.env.PORT), fetch: () => new Response(process.env.NAME) });
setTimeout(() => {}, 1e9);`;

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function startStack(): Promise<{ dir: string; service: SupervisedService; control: StackControl }> {
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-control-'));
  stops.push(async () => rmSync(dir, { recursive: true, force: true }));
  const port = await findFreePort();
  const service = await supervise(
    {
      name: 'trip',
      command: [process.execPath, '-e', program],
      cwd: dir,
      env: { PATH: process.env.PATH ?? '', PORT: String(port), NAME: 'ours' },
      logFile: join(dir, 'trip.log'),
      readyUrl: `http://127.0.0.1:${port}/`,
    },
    () => {},
  );
  stops.push(() => service.stop());
  const control = startStackControl({ trip: service }, dir);
  stops.push(() => control.stop());
  return { dir, service, control };
}

const startTaker = () => {
  const taker = Bun.spawn(['sleep', '60']);
  stops.push(async () => taker.kill());
  return taker;
};

describe('taking a service over', () => {
  test('suspends it, returns its environment, and ends with the process that took over', async () => {
    const { dir, service } = await startStack();
    const taker = startTaker();
    const firstPid = service.pid();
    expect(await takeOverService(dir, 'trip', taker.pid)).toEqual({ kind: 'taken_over', env: service.env });
    expect(service.pid()).toBeUndefined();
    expect(fetch(service.url)).rejects.toThrow();
    taker.kill();
    await until(() => service.isReady(), { describe: 'the service to run again' });
    expect(service.pid()).not.toBe(firstPid);
    expect(await (await fetch(service.url)).text()).toBe('ours');
  });

  test('is rejected for an unknown service, a second time, and without the token', async () => {
    const { dir } = await startStack();
    const taker = startTaker();
    expect(await takeOverService(dir, 'user', taker.pid)).toMatchObject({ kind: 'failed' });
    await takeOverService(dir, 'trip', taker.pid);
    expect(await takeOverService(dir, 'trip', taker.pid)).toEqual({
      kind: 'failed',
      message: 'trip: already taken over',
    });
    const file = join(dir, 'control.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { url } = JSON.parse(readFileSync(file, 'utf8'));
    const response = await fetch(`${url}/services/trip/takeover`, { method: 'POST', body: '{"pid":1}' });
    expect(response.status).toBe(401);
  });

  test('fails without a running stack', async () => {
    const { dir, control } = await startStack();
    await control.stop();
    expect(await takeOverService(dir, 'trip', process.pid)).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('bun run stack'),
    });
  });
});
