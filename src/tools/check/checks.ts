const root = `${import.meta.dir}/../../..`;

/** Runs every check, also after one has failed. Resolves to the exit code: 1 if any failed. */
export async function runChecks({ fix, json }: { fix: boolean; json: boolean }): Promise<number> {
  const bin = (name: string) => `${root}/node_modules/.bin/${name}`;
  const steps: [name: string, command: string[]][] = [
    ['format and lint', [bin('biome'), 'check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.']],
    ['types', [bin('tsc'), '--noEmit', '-p', '.']],
    ['tidiness', [process.execPath, 'test', './src/tidy.test.ts']],
  ];
  const checks: { name: string; passed: boolean; seconds: number }[] = [];
  for (const [name, command] of steps) {
    const started = performance.now();
    const output = json ? 'ignore' : 'inherit';
    const child = Bun.spawn(command, { cwd: root, stdin: 'ignore', stdout: output, stderr: output });
    const passed = (await child.exited) === 0;
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    checks.push({ name, passed, seconds });
    console.error(`${passed ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  }
  if (json) console.log(JSON.stringify({ checks }));
  return checks.every(({ passed }) => passed) ? 0 : 1;
}
