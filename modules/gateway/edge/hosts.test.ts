import { expect, test } from 'bun:test';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { awaitResponse, createServerRequest } from '@testing/http1-requests.ts';
import { rejectUnknownHosts } from './hosts.ts';

async function statusOf(allowed: string, host: string, path = '/v1/trips'): Promise<number> {
  const handle = rejectUnknownHosts(allowed, http1ResponseAdapter, () => ({
    status: 200,
    lines: '',
    body: 'in',
  }));
  return (await awaitResponse(handle(createServerRequest({ target: path, headers: { host } })))).status;
}

test('only allowed hosts are served, regardless of case and port', async () => {
  const allowedHosts = 'api.uitgo.example, uitgo.example';
  for (const host of ['api.uitgo.example', 'API.uitgo.example:443', 'uitgo.example:8080'])
    expect(await statusOf(allowedHosts, host)).toBe(200);
  for (const host of ['evil.example', 'api.uitgo.example.evil.example', 'xapi.uitgo.example', ''])
    expect(await statusOf(allowedHosts, host)).toBe(400);
});

test('health probes are accepted with any host', async () => {
  expect(await statusOf('api.uitgo.example', '10.0.0.7:8080', '/readyz')).toBe(200);
  expect(await statusOf('api.uitgo.example', '10.0.0.7:8080', '/metrics')).toBe(400);
});

test('* allows every host', async () => {
  expect(await statusOf('*', 'anything')).toBe(200);
});
