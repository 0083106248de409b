import { describe, expect, test } from 'bun:test';
import { dirname, join, normalize } from 'node:path';

// The rules of the house that a machine can hold. Each failure names file and line.

const root = join(import.meta.dir, '..');
const linesMax = 300;
const testLinesMax = 600;
const functionLinesMax = 70;

interface Source {
  path: string;
  lines: string[];
  isTest: boolean;
}

const sources: Source[] = await readAll();

async function readAll(): Promise<Source[]> {
  const found: Source[] = [];
  for (const pattern of ['src/**/*.ts', 'modules/**/*.ts', 'bench/**/*.ts']) {
    for await (const path of new Bun.Glob(pattern).scan(root)) {
      const text = await Bun.file(join(root, path)).text();
      found.push({
        path,
        lines: text.split('\n'),
        isTest: /\.test\.ts$|\/contract\.ts$|^src\/testing\//.test(path),
      });
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What a file imports, as paths from the root; packages stay as they are. */
function importsOf({ path, lines }: Source): string[] {
  const specifiers = [...lines.join('\n').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    (match) => match[1] ?? '',
  );
  return specifiers.map((specifier) => {
    if (specifier.startsWith('.')) return normalize(join(dirname(path), specifier));
    const [alias, folder] = Object.entries(aliases).find(([name]) => specifier.startsWith(name)) ?? [];
    return alias === undefined ? specifier : `${folder}${specifier.slice(alias.length)}`;
  });
}
const aliases = {
  '@contracts/': 'src/contracts/',
  '@platform/': 'src/platform/',
  '@modules/': 'modules/',
  '@testing/': 'src/testing/',
  '@invariants/': 'src/invariants/',
};

const isOurs = (target: string) => target.startsWith('src/') || target.startsWith('modules/');

describe('dependencies point one way', () => {
  test('contracts import only TypeBox and one another', () => {
    expect(
      broken(
        'src/contracts/',
        (target) => target.startsWith('src/contracts/') || target === '@sinclair/typebox',
      ),
    ).toEqual([]);
  });

  test('the platform imports no module, app or command', () => {
    expect(
      broken('src/platform/', (target) => !isOurs(target) || /^src\/(platform|contracts)\//.test(target)),
    ).toEqual([]);
  });

  test('a module imports only itself, the platform and the contracts', () => {
    const found = sources
      .filter(({ path, isTest }) => path.startsWith('modules/') && !isTest)
      .flatMap((source) => {
        const own = `${source.path.split('/').slice(0, 2).join('/')}/`;
        return importsOf(source)
          .filter(
            (target) =>
              isOurs(target) && !target.startsWith(own) && !/^src\/(platform|contracts)\//.test(target),
          )
          .map((target) => `${source.path} imports ${target}`);
      });
    expect(found).toEqual([]);
  });

  test('the simulation imports no command, and no product imports the simulation', () => {
    expect(broken('src/sim/', (target) => !target.startsWith('src/cli/'))).toEqual([]);
    expect(broken('src/apps/', (target) => !target.startsWith('src/sim/'))).toEqual([]);
  });

  test('apps import no command, and commands no module', () => {
    expect(broken('src/apps/', (target) => !target.startsWith('src/cli/'))).toEqual([]);
    expect(broken('src/cli/', (target) => !target.startsWith('modules/'))).toEqual([]);
  });

  test('nothing imports test helpers but tests and the command that runs them', () => {
    const found = sources
      .filter(({ path, isTest }) => !isTest && path !== 'src/cli/test.ts')
      .flatMap((source) =>
        importsOf(source)
          .filter((target) => target.startsWith('src/testing/'))
          .map((target) => `${source.path} imports ${target}`),
      );
    expect(found).toEqual([]);
  });

  function broken(folder: string, allowed: (target: string) => boolean): string[] {
    return sources
      .filter(({ path, isTest }) => path.startsWith(folder) && !isTest)
      .flatMap((source) =>
        importsOf(source)
          .filter((target) => !allowed(target))
          .map((target) => `${source.path} imports ${target}`),
      );
  }
});

describe('files and functions stay small', () => {
  test(`no file is longer than ${linesMax} lines, no test file than ${testLinesMax}`, () => {
    const long = sources
      .filter(({ lines, isTest }) => lines.length > (isTest ? testLinesMax : linesMax))
      .map(({ path, lines }) => `${path}: ${lines.length} lines`);
    expect(long).toEqual([]);
  });

  test(`no function is longer than ${functionLinesMax} lines, not counting the functions inside it`, () => {
    const long = sources.filter(({ isTest }) => !isTest).flatMap(longFunctions);
    expect(long).toEqual([]);
  });
});

/** By indentation, which the formatter guarantees: from a line that opens a function to the line that closes it. */
function longFunctions({ path, lines }: Source): string[] {
  const open: { indent: number; line: number; inner: number }[] = [];
  const long: string[] = [];
  lines.forEach((line, index) => {
    const indent = line.search(/\S/);
    if (indent < 0) return;
    const top = open.at(-1);
    if (top !== undefined && indent === top.indent && /^\s*[}\])]/.test(line) && index > top.line) {
      if (!/(=>|\)|\w) \{$/.test(line)) {
        open.pop();
        const all = index - top.line + 1;
        const outer = open.at(-1);
        if (outer !== undefined) outer.inner += all;
        if (all - top.inner > functionLinesMax)
          long.push(`${path}:${top.line + 1}: ${all - top.inner} lines`);
      }
    }
    if (opensFunction(line)) open.push({ indent, line: index, inner: 0 });
  });
  return long;
}

const opensFunction = (line: string) =>
  /^\s*(export )?(default )?(async )?function\b.*[{(]$/.test(line) ||
  /=> \{$/.test(line) ||
  (/^\s+(async )?\w+\(.*\) \{$/.test(line) && !/^\s*(if|for|while|switch|catch)\b/.test(line));

describe('what is forbidden stays out', () => {
  const forbidden: { what: string; pattern: RegExp; allowed: RegExp }[] = [
    { what: 'Date.now: take the Clock', pattern: /\bDate\.now\(/, allowed: /^src\/(platform|testing|cli)\// },
    {
      what: 'new Date() without argument: take the Clock',
      pattern: /\bnew Date\(\)/,
      allowed: /^src\/(platform|testing|cli)\//,
    },
    { what: 'Math.random: take Random', pattern: /\bMath\.random\(/, allowed: /^src\/platform\/random\.ts$/ },
    { what: 'randomUUID: take Ids', pattern: /\brandomUUID/, allowed: /^src\/(testing|cli)\// },
    {
      what: 'setTimeout: take the Clock',
      pattern: /\b(setTimeout|setInterval)\(/,
      allowed: /^src\/(platform|testing|cli)\//,
    },
    {
      what: 'sql.begin: one write is one statement',
      pattern: /\b(sql|primary|replica|connection)\.begin\(/,
      allowed: /^$/,
    },
    { what: 'any', pattern: /\bas any\b|: any\b|<any>/, allowed: /^$/ },
    { what: 'a silenced type error', pattern: /@ts-(ignore|nocheck|expect-error)/, allowed: /^$/ },
  ];

  for (const { what, pattern, allowed } of forbidden) {
    test(what, () => {
      const found = sources
        .filter(({ path, isTest }) => !isTest && path !== 'src/tidy.test.ts' && !allowed.test(path))
        .flatMap(({ path, lines }) =>
          lines.flatMap((line, index) =>
            pattern.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line)
              ? [`${path}:${index + 1}: ${line.trim()}`]
              : [],
          ),
        );
      expect(found).toEqual([]);
    });
  }

  test('SQL of the modules takes its time from the clock, never from the server', () => {
    const found = sources
      .filter(({ path, isTest }) => path.startsWith('modules/') && !isTest)
      .flatMap(({ path, lines }) =>
        lines.flatMap((line, index) =>
          /\b(now\(\)|clock_timestamp\(|current_timestamp)/i.test(line) && !/nowMs|^\s*(\/\/|\*)/.test(line)
            ? [`${path}:${index + 1}`]
            : [],
        ),
      );
    expect(found).toEqual([]);
  });

  test('only stores hold SQL in a module', () => {
    const found = sources
      .filter(
        ({ path, isTest }) =>
          path.startsWith('modules/') && !isTest && !/\/(store|provider-simulated)(\.ts|[-/])/.test(path),
      )
      .flatMap(({ path, lines }) =>
        lines.flatMap((line, index) => (/\bsql(<[^`]*>)?`/.test(line) ? [`${path}:${index + 1}`] : [])),
      );
    expect(found).toEqual([]);
  });

  test('no test is skipped, alone, or left to do', () => {
    const found = sources.flatMap(({ path, lines }) =>
      path === 'src/tidy.test.ts'
        ? []
        : lines.flatMap((line, index) =>
            /\b(test|it|describe)\.(skip|only|todo|if|skipIf)\b/.test(line) ? [`${path}:${index + 1}`] : [],
          ),
    );
    expect(found).toEqual([]);
  });

  test('the lockfile names no registry, and there is one TypeBox', async () => {
    const lock = await Bun.file(join(root, 'bun.lock')).text();
    expect(lock).not.toMatch(/https?:\/\//);
    expect(lock.match(/"@sinclair\/typebox@\d[^"]*"/g)?.length).toBe(1);
  });
});
