/** Checks of what a caller gave, which name it when it is wrong. */

/** @throws TypeError when `value` isn't a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw new TypeError(`${name} must be a function, got ${String(value)}`);
}
