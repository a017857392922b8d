import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { MapContext } from '../../src/cli/import-module.ts';
import { type LoadedModule, loadMapModule } from '../../src/cli/map-module.ts';
import { UsageError } from '../../src/cli/usage-error.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Folder } from './folder.ts';

const IDENTITY = 'export default (input) => input;';

/** Loads a module of this text; the error has the name of the file alone. */
async function load(t: TestContext, name: string, text: string): Promise<LoadedModule> {
  const folder = new Folder(t);
  return loadMapModule(join(folder.path, folder.write(name, text)));
}

const context: MapContext = { signal: new AbortController().signal, attempt: 1, log() {} };

describe('a module', () => {
  test(
    'is loaded with its function and its hooks, whatever kind of module it is',
    withLeakCheck(async (t) => {
      const hooks = ['onCreate', 'onDestroy', 'checkHealth', 'priority', 'key'] as const;
      const names = hooks.map((hook) => `export const ${hook} = () => '${hook}';`);
      const module = await load(t, 'm.mjs', [IDENTITY, ...names].join('\n'));
      assert.equal(module.run('a', context, undefined), 'a');
      for (const hook of hooks) assert.equal((module[hook] as () => string)(), hook);
      for (const [name, text] of [
        ['common.cjs', 'module.exports = (input) => input;'],
        // What a compiler makes of `export default`, and of a hook besides.
        [
          'compiled.cjs',
          `Object.defineProperty(exports, '__esModule', { value: true });
          exports.default = (input) => input; exports.key = () => 'key';`,
        ],
      ] as const) {
        const { run, key } = await load(t, name, text);
        assert.equal(run('a', context, undefined), 'a', name);
        assert.equal(key?.('a'), name === 'compiled.cjs' ? 'key' : undefined);
      }
    }),
  );

  test(
    'has a digest of its source',
    withLeakCheck(async (t) => {
      const [one, same, other] = await Promise.all(
        [IDENTITY, IDENTITY, `${IDENTITY} `].map((it) => load(t, 'm.mjs', it)),
      );
      assert.equal(one!.digest, same!.digest);
      assert.notEqual(one!.digest, other!.digest);
    }),
  );

  for (const [name, text, says] of [
    ['that exports nothing', '', /m\.mjs has no function as its default export \(it exports nothing\)/],
    [
      'of named exports',
      'export const size = 1; export function run() {}',
      /m\.mjs has no .* \(it exports run, size\)/,
    ],
    ['whose default is an object', 'export default {};', /m\.mjs has no function .* \(it is object\)/],
    [
      'with a hook that is no function',
      `${IDENTITY} export const onCreate = 'connect';`,
      /m\.mjs exports onCreate, but that is no function, it is string/,
    ],
    [
      'that throws while it is loaded',
      `${IDENTITY}\nthrow new Error('no configuration');`,
      /m\.mjs failed to load: Error: no configuration\n +at \S+\/m\.mjs:2:7$/,
    ],
    [
      'with an error in its syntax',
      `${IDENTITY}\nconst = 1;`,
      /m\.mjs failed to load: \S+\/m\.mjs:2\nconst = 1;\n[\s\S]*\nSyntaxError: .*$/,
    ],
    [
      'that imports what is not there',
      `import 'no-such-package';\n${IDENTITY}`,
      /m\.mjs failed to load: .*Cannot find package 'no-such-package' imported from \S+\/m\.mjs(\n|$)/,
    ],
    [
      'that imports what is not exported',
      `import { gone } from 'node:fs';\n${IDENTITY}`,
      /m\.mjs failed to load: \S+\/m\.mjs:1\nimport \{ gone \}[\s\S]*'node:fs' does not provide an export named 'gone'$/,
    ],
    ['that throws no error', `${IDENTITY}\nthrow undefined;`, /m\.mjs failed to load: undefined$/],
  ] as const) {
    test(
      `${name} is refused, with what and where`,
      withLeakCheck(async (t) => {
        await assert.rejects(load(t, 'm.mjs', text), (error: unknown) => {
          assert.ok(error instanceof UsageError);
          assert.match(error.message, says);
          return true;
        });
      }),
    );
  }

  test(
    'that is a folder, or is not there, is refused',
    withLeakCheck(async (t) => {
      const { path } = new Folder(t);
      mkdirSync(join(path, 'sub'));
      await assert.rejects(loadMapModule(join(path, 'sub')), /sub is a folder: name the module's file/);
      await assert.rejects(loadMapModule(join(path, 'gone')), /gone can't be read: there is no such file/);
      await assert.rejects(loadMapModule(join(path, 'sub/a/b')), /b can't be read: there is no such file/);
    }),
  );
});
