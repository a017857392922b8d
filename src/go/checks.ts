/** Checks of what a caller gave, which name it when it is wrong. */

/** A value as an error message shows it. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) {
    return Array.isArray(value) ? `an array of ${value.length}` : `an instance of ${value.constructor?.name ?? 'null'}`;
  }
  return String(value);
}

/** @throws TypeError when `value` isn't a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw new TypeError(`${name} must be a function, got ${show(value)}`);
}
