/** `errand/go` in a browser: bundled, with nothing of Node in it, and all that it exports at work in Chromium. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as go from 'errand/go';
import { withLeakCheck } from 'errand/testing';
import { type BuildOptions, build, stop } from 'esbuild';
import { ROOT } from '../programs.ts';
import { findChromium, runInChromium } from './chromium.ts';

const CHECKS = join(ROOT, 'test/go/browser');
const chromium = findChromium();
// CI sets this, lest the test is skipped there unseen.
const { ERRAND_REQUIRE_CHROMIUM: isRequired } = process.env;
const HINT = 'no Chromium found: install one (on Debian: apt-get install chromium), or set CHROMIUM_PATH to one';

/** For a browser. Rejects when anything is imported that a browser hasn't got. */
function bundle(entry: string, options: BuildOptions = {}) {
  return build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'browser',
    format: 'esm',
    target: 'esnext',
    logLevel: 'silent',
    ...options,
  });
}

test(
  'errand/go can be bundled for a browser, of its own files alone',
  withLeakCheck(async () => {
    try {
      const { metafile } = await bundle('src/go/index.ts');
      const files = Object.keys(metafile!.inputs);
      assert.ok(files.includes('src/go/channel.ts'));
      assert.deepEqual(
        files.filter((file) => !file.startsWith('src/go/')),
        [],
      );
      await assert.rejects(bundle('src/index.ts'), /Could not resolve "node:/, 'a bundle of what is for Node');
    } finally {
      await stop();
    }
  }),
);

test(
  'all that errand/go exports is at work in the page',
  withLeakCheck(() => {
    const page = readdirSync(CHECKS)
      .map((file) => readFileSync(join(CHECKS, file), 'utf8'))
      .join('\n');
    const imported = [...page.matchAll(/^import \{([^}]*)\} from 'errand\/go'/gm)].flatMap(([, names]) =>
      names!.split(',').map((name) => name.trim()),
    );
    const missing = Object.keys(go).filter((name) => !imported.includes(name));
    assert.deepEqual(missing, [], `no check in test/go/browser for ${missing}`);
  }),
);

test(
  'errand/go works in Chromium',
  { skip: chromium === undefined && !isRequired ? HINT : false },
  withLeakCheck(async (t) => {
    assert.ok(chromium !== undefined, HINT);
    const reports = await runInChromium(chromium, await bundles());
    for (const [name, report] of Object.entries(reports)) {
      if ('error' in report) assert.fail(`${name}: ${report.error}`);
      await t.test(name, async (t) => {
        for (const { name, error } of report) await t.test(name, () => void (error && assert.fail(error)));
      });
    }
  }),
);

async function bundles(): Promise<Record<string, string>> {
  const page = 'test/go/browser/page.ts';
  try {
    const today = await bundle(page);
    const older = await bundle(page, {
      target: 'es2022',
      define: { 'Symbol.dispose': 'undefined', 'Symbol.asyncDispose': 'undefined' },
    });
    return {
      'a browser of today': today.outputFiles![0]!.text,
      'an older one, without Symbol.dispose': older.outputFiles![0]!.text,
    };
  } finally {
    await stop();
  }
}
