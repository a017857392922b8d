/** What the environment says of colors and the terminal, for one test. */
import type { TestContext } from 'node:test';

const NAMES = ['NO_COLOR', 'FORCE_COLOR', 'TERM'] as const;

/** Sets these three, or removes those not given, until the test ends. */
export function setTerminalEnv(t: TestContext, values: Partial<Record<(typeof NAMES)[number], string>>): void {
  for (const name of NAMES) {
    const before = process.env[name];
    set(name, values[name]);
    t.after(() => set(name, before));
  }
}

function set(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
