/** The user's module, as the command has it: read, to tell it from others, and imported. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { importMapModule, type MapModule } from './import-module.ts';
import { UsageError } from './usage-error.ts';

export interface LoadedModule extends MapModule {
  /** The digest of its source, to tell whether a journal was written by the same one. What it imports isn't in it. */
  readonly digest: string;
}

/** Loads a module from a path. @throws UsageError that says what is wrong with it */
export async function loadMapModule(path: string): Promise<LoadedModule> {
  const source = await readSource(path, resolve(path));
  const module = await importMapModule(path);
  return { ...module, digest: createHash('sha256').update(source).digest('hex') };
}

async function readSource(path: string, file: string): Promise<Buffer> {
  try {
    if ((await stat(file)).isDirectory()) throw new UsageError(`${path} is a folder: name the module's file`);
    return await readFile(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`the module ${path} can't be read: ${code === 'ENOENT' ? 'there is no such file' : code}`, {
      cause: error,
    });
  }
}
