/** The version of this package, which dispatchers tell each other, and OpenTelemetry. */
import { createRequire } from 'node:module';

let known: string | undefined;

/** 'unknown' if it can't be told: a bundle may have left the file behind. */
export function packageVersion(): string {
  if (known === undefined) {
    try {
      const { version } = createRequire(import.meta.url)('errand/package.json') as { version?: unknown };
      known = String(version);
    } catch {
      known = 'unknown';
    }
  }
  return known;
}
