import { describe, expect, test } from 'bun:test';
import { completeSettings, invalidConfigurations, runToEnd } from '@testing/processes.ts';
import { processCommand, processNames } from '../tools/local/fleet.ts';

describe.each(processNames)('the %s process', (name) => {
  test.each(invalidConfigurations(name).map((one) => [one.description, one] as const))(
    'exits with code 2 and the list of faults for %s',
    async (_, { settings, faults }) => {
      const { out, err, exitCode } = await runToEnd(processCommand(name, undefined), {
        ...completeSettings,
        ...settings,
      });
      expect({ out, exitCode }).toEqual({ out: '', exitCode: 2 });
      const [head, ...lines] = err.trimEnd().split('\n');
      expect(head).toBe(`the configuration has ${faults.length} fault(s):`);
      for (const fault of faults)
        expect(lines.find((line) => line.startsWith(`  ${fault} is `))).toMatch(/: set (it to|both) /);
      expect(lines.length).toBe(faults.length);
      expect(err).not.toContain('hidden-value');
    },
  );
});
