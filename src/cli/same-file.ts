/** A file that is named twice would be written over while it is read, or by two at once. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from './usage-error.ts';

/** @throws UsageError when two of these names are of one file */
export async function refuseSameFile(names: Readonly<Record<string, string | undefined>>): Promise<void> {
  const seen = new Map<string, string>();
  for (const [what, path] of Object.entries(names)) {
    const identity = path === undefined ? undefined : await identityOf(path);
    if (identity === undefined) continue;
    const other = seen.get(identity);
    if (other !== undefined) throw new UsageError(`${what} ${path} is the same file as ${other}`);
    seen.set(identity, `${what} ${path}`);
  }
}

/** The same for all names of a file; `undefined` for what isn't one, such as a terminal. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path, { bigint: true });
    return stats.isFile() ? `${stats.dev} ${stats.ino}` : undefined;
  } catch {
    return resolve(path); // it isn't there yet
  }
}
