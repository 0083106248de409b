import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';

const root = join(import.meta.dir, '../..');
let system: RunningSystem;
beforeAll(async () => {
  system = await startSystem('one process, embedded adapters');
}, 60_000);
afterAll(() => system?.stop(), 60_000);

test('the tour in the README works as written', async () => {
  const readme = await Bun.file(join(root, 'README.md')).text();
  const tour = readme.match(/```sh\n(URL=[\s\S]*?)```/)?.[1] ?? '';
  const shell = Bun.spawn(['bash', '-e', '-c', tour], {
    env: { PATH: process.env.PATH ?? '', URL: system.url },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([
    new Response(shell.stdout).text(),
    new Response(shell.stderr).text(),
    shell.exited,
  ]);
  expect([code, err]).toEqual([0, '']);
  const lines = out.trim().split('\n');
  expect(lines).toContain('completed');
  const [receipt, earnings, history] = lines.slice(-3).map((line) => JSON.parse(line));
  expect(receipt.status).toBe('captured');
  expect(earnings.balances[0].amountMinor).toBeGreaterThan(0);
  expect(history.items.length).toBe(6);
}, 60_000);

test('every command in the README exists and has help', async () => {
  const readme = await Bun.file(join(root, 'README.md')).text();
  const named = new Set([...readme.matchAll(/bun run (\w+)/g)].map((match) => match[1] ?? ''));
  expect(named.size).toBeGreaterThan(4);
  for (const name of named) {
    const child = Bun.spawn([process.execPath, 'src/cli/main.ts', name, '--help'], {
      cwd: root,
      stdout: 'pipe',
      stderr: 'inherit',
    });
    const out = await new Response(child.stdout).text();
    expect([name, await child.exited, out.includes('--help')]).toEqual([name, 0, true]);
  }
});
