/**
 * The files of a tree, one at a time. Nothing is listed ahead: what the reader hasn't asked for hasn't been read, so a
 * tree of millions takes no more memory than its depth.
 */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders of these names are left out, at any depth: made by tools from what is elsewhere, and mostly large. */
export const SKIPPED: readonly string[] = ['node_modules', '.git', 'dist'];

export interface FoundFile {
  /** From the root on. */
  readonly path: string;
  /** The folder it is in, from the root on; empty for the root itself. */
  readonly folder: string;
  readonly bytes: number;
}

export interface WalkListener {
  onFolder(): void;
  onFolderSkipped(): void;
  /** Something that is no file and no folder: links aren't followed, so that no tree is walked twice or for ever. */
  onOther(): void;
  onFailure(path: string, error: unknown): void;
}

/** Ends early, without a word, when `signal` fires. */
export async function* walk(
  root: string,
  signal: AbortSignal,
  listener: WalkListener,
  folder = '',
): AsyncGenerator<FoundFile, void, undefined> {
  try {
    for await (const entry of await opendir(join(root, folder))) {
      if (signal.aborted) return;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (SKIPPED.includes(entry.name)) listener.onFolderSkipped();
        else yield* walk(root, signal, listener, path);
      } else if (!entry.isFile()) listener.onOther();
      else {
        const bytes = await sizeOf(join(root, path), (error) => listener.onFailure(path, error));
        if (bytes !== undefined) yield { path, folder, bytes };
      }
    }
    listener.onFolder();
  } catch (error) {
    listener.onFailure(folder === '' ? '.' : folder, error);
  }
}

async function sizeOf(path: string, onFailure: (error: unknown) => void): Promise<number | undefined> {
  try {
    return (await lstat(path)).size;
  } catch (error) {
    onFailure(error);
    return undefined;
  }
}
