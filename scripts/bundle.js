// Bundles for Node, by esbuild. What has not changed is left as it is, and what has is there at once: threads and commands
// may start from these files meanwhile, in another terminal or in the tests.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { build } from 'esbuild';

const EXECUTABLE = 0o755;
const PLAIN = 0o644;

/**
 * @param {import('esbuild').BuildOptions} options what differs
 * @returns {Promise<string[]>} the files that went in
 */
export async function bundle(options) {
  const { outputFiles, metafile } = await build({
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    ...options,
    metafile: true,
    write: false,
  });
  for (const { path, contents, text } of outputFiles) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    const part = `${path}.${process.pid}`;
    writeFileSync(part, contents, { mode: text.startsWith('#!') ? EXECUTABLE : PLAIN });
    renameSync(part, path);
  }
  return Object.keys(metafile.inputs);
}
