import { describe, expect, test } from 'bun:test';
import { dirname, join, normalize } from 'node:path';

// The rules of the house that a machine can hold. Each failure names file and line.

const root = join(import.meta.dir, '..');
const linesMax = 300;
const testLinesMax = 600;
const functionLinesMax = 100;

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
        isTest: /\.(test|contract)\.ts$|^src\/testing\/|^modules\/[^/]+\/testing\//.test(path),
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

// From the bottom up. Code may import its own layer and those below it.
const layers: readonly (readonly [name: string, folder: RegExp])[] = [
  ['contracts', /^src\/contracts\//],
  ['platform', /^src\/(platform|invariants)\//],
  ['modules', /^modules\//],
  ['apps', /^src\/(apps|client)\//],
  ['tools', /^src\/tools\//],
  ['testing', /^src\/testing\//],
  ['bench', /^bench\//],
  ['cli', /^src\/cli\//],
];
const layerOf = (path: string): number => layers.findIndex(([, folder]) => folder.test(path));
const moduleOf = (path: string): string | undefined => /^modules\/[^/]+\//.exec(path)?.[0];

describe('dependencies point one way', () => {
  test('code imports its own layer and the layers below it', () => {
    const found = importsBetween(
      ({ path, isTest }) => !isTest && layerOf(path) >= 0,
      (path, target) => layerOf(target) > layerOf(path),
    );
    expect(found).toEqual([]);
  });

  test('test helpers import no bench and no command', () => {
    const found = importsBetween(
      ({ path }) => path.startsWith('src/testing/') || /^modules\/[^/]+\/testing\//.test(path),
      (_, target) => /^(bench|src\/cli)\//.test(target),
    );
    expect(found).toEqual([]);
  });

  test('contracts import only TypeBox and one another', () => {
    const found = importsBetween(
      ({ path }) => path.startsWith('src/contracts/') && !path.endsWith('.test.ts'),
      (_, target) => !target.startsWith('src/contracts/') && target !== '@sinclair/typebox',
    );
    expect(found).toEqual([]);
  });

  test('a module imports no other module', () => {
    const found = importsBetween(
      ({ path, isTest }) => path.startsWith('modules/') && !isTest,
      (path, target) => moduleOf(target) !== undefined && moduleOf(target) !== moduleOf(path),
    );
    expect(found).toEqual([]);
  });

  test('only tests, benches and commands import test helpers', () => {
    const found = importsBetween(
      ({ path, isTest }) => !isTest && !/^(bench|src\/cli)\//.test(path),
      (_, target) => /^src\/testing\/|^modules\/[^/]+\/testing\//.test(target),
    );
    expect(found).toEqual([]);
  });

  test('platform/http and platform/http1 do not import each other', () => {
    const found = importsBetween(
      ({ path, isTest }) => /^src\/platform\/(http|http1|http-message)\//.test(path) && !isTest,
      (path, target) =>
        /^src\/platform\/http1?\//.test(target) &&
        !target.startsWith(path.slice(0, path.lastIndexOf('/') + 1)),
    );
    expect(found).toEqual([]);
  });

  test('no files import one another in a circle', () => {
    expect(circles()).toEqual([]);
  });

  function importsBetween(
    isIncluded: (source: Source) => boolean,
    isForbidden: (path: string, target: string) => boolean,
  ): string[] {
    return sources.filter(isIncluded).flatMap((source) =>
      importsOf(source)
        .filter((target) => isForbidden(source.path, target))
        .map((target) => `${source.path} imports ${target}`),
    );
  }
});

/** Each circle of imports, from the file that comes first to itself. Types count: a circle of types is one idea in two files. */
function circles(): string[] {
  const targets = new Map(sources.map((source) => [source.path, importsOf(source)]));
  const finished = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
      return;
    }
    if (finished.has(path)) return;
    for (const target of targets.get(path) ?? []) if (targets.has(target)) visit(target, [...trail, path]);
    finished.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return found;
}

describe('files and functions stay small', () => {
  test(`no file is longer than ${linesMax} lines, no test file than ${testLinesMax}`, () => {
    const long = sources
      .filter(({ lines, isTest }) => lines.length > (isTest ? testLinesMax : linesMax))
      .map(({ path, lines }) => `${path}: ${lines.length} lines`);
    expect(long).toEqual([]);
  });

  test(`no function is longer than ${functionLinesMax} lines, with the functions inside it`, () => {
    const long = sources.filter(({ isTest }) => !isTest).flatMap(longFunctions);
    expect(long).toEqual([]);
  });
});

/** By indentation, which the formatter guarantees: from a line that opens a function to the line that closes it. */
function longFunctions({ path, lines }: Source): string[] {
  const open: { indent: number; line: number }[] = [];
  const long: string[] = [];
  lines.forEach((line, index) => {
    const indent = line.search(/\S/);
    if (indent < 0) return;
    const top = open.at(-1);
    if (top !== undefined && indent === top.indent && /^\s*[}\])]/.test(line) && index > top.line) {
      if (!/(=>|\)|\w) \{$/.test(line)) {
        open.pop();
        const length = index - top.line + 1;
        if (length > functionLinesMax) long.push(`${path}:${top.line + 1}: ${length} lines`);
      }
    }
    if (opensFunction(line)) open.push({ indent, line: index });
  });
  return long;
}

const opensFunction = (line: string) =>
  /^\s*(export )?(default )?(async )?function\b.*[{(]$/.test(line) ||
  /^(export )?class /.test(line) ||
  /=> \{$/.test(line) ||
  (/^\s+(async )?\w+\(.*\) \{$/.test(line) && !/^\s*(if|for|while|switch|catch)\b/.test(line));

describe('what is forbidden stays out', () => {
  const forbidden: { what: string; pattern: RegExp; allowed: RegExp }[] = [
    {
      what: 'Date.now: take the Clock',
      pattern: /\bDate\.now\(/,
      allowed: /^src\/(platform|testing|tools|cli)\//,
    },
    {
      what: 'new Date() without argument: take the Clock',
      pattern: /\bnew Date\(\)/,
      allowed: /^src\/(platform|testing|tools|cli)\//,
    },
    { what: 'Math.random: take Random', pattern: /\bMath\.random\(/, allowed: /^src\/platform\/random\.ts$/ },
    {
      what: 'randomUUID: take Ids',
      pattern: /\brandomUUID/,
      allowed: /^src\/(testing|tools|cli)\/|^src\/platform\/random\.ts$/,
    },
    {
      what: 'setTimeout: take the Clock',
      pattern: /\b(setTimeout|setInterval)\(/,
      allowed: /^src\/(platform|testing|tools|cli)\//,
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
          path.startsWith('modules/') && !isTest && !/\/(store\/|provider\/simulated\.ts$)/.test(path),
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

describe('names are plain technical English', () => {
  // Words of an earlier private vocabulary. docs/glossary.md has the words to use instead.
  const bannedWords = new Set(
    [
      'asked behind desk dialect hear heard hears letters look looks mend nobody nudge said saying shown somebody',
      'stranger strangers tell telling tells thing things told underway walk walks whoever wish wishes',
    ].flatMap((words) => words.split(' ')),
  );
  const exported =
    /^export (?:declare )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm;
  const wordsOf = (name: string) =>
    name
      .replace(/([A-Z])/g, ' $1')
      .toLowerCase()
      .trim()
      .split(' ');

  test('no exported name has a banned word', () => {
    const found = sources.flatMap(({ path, lines }) =>
      [...lines.join('\n').matchAll(exported)]
        .map((match) => match[1] ?? '')
        .filter((name) =>
          wordsOf(name).some(
            (word, index, words) =>
              bannedWords.has(word) && !(word === 'letters' && words[index - 1] === 'dead'),
          ),
        )
        .map((name) => `${path}: ${name}`),
    );
    expect(found).toEqual([]);
  });

  test('every term of docs/glossary.md occurs in the code', async () => {
    const glossary = await Bun.file(join(root, 'docs/glossary.md')).text();
    const terms = [...glossary.matchAll(/^\| ([^|]+) \| [^|]+ \|$/gm)]
      .map((match) => match[1] ?? '')
      .slice(1);
    expect(terms.length).toBeGreaterThan(100);
    const code = sources
      .filter(({ path }) => path !== 'src/tidy.test.ts')
      .map(({ lines }) => lines.join('\n'))
      .join('\n');
    // A term of several words may be written in any case, with spaces, hyphens or underscores.
    const occurs = (term: string) => new RegExp(term.replace(/[\s-]+/g, '[\\s_-]?'), 'i').test(code);
    expect(terms.filter((term) => !occurs(term))).toEqual([]);
    expect(terms).toEqual(terms.toSorted((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)));
  });
});
