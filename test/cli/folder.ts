/** A folder of a test's own, where it writes modules and inputs. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'errand-map-'));

  /** It goes with the test. */
  constructor(t: TestContext) {
    t.after(() => rmSync(this.path, { recursive: true, force: true }));
  }

  /** Writes a file, and gives back its name. */
  write(name: string, text: string | Uint8Array): string {
    writeFileSync(join(this.path, name), text);
    return name;
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), 'utf8');
  }

  /** The lines of a file, which all are ended; none if it isn't there. */
  lines(name: string): string[] {
    return existsSync(join(this.path, name)) ? linesOf(this.read(name)) : [];
  }
}

/** Lines, all ended. */
export function linesOf(text: string): string[] {
  if (text === '') return [];
  if (!text.endsWith('\n')) throw new Error(`a last line is not ended: ${text.slice(-200)}`);
  return text.slice(0, -1).split('\n');
}
