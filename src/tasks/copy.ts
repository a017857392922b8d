/** Copies for functions of the user's, which may change what they are given: nobody else is to see that. */

/** All that JSON could hold is copied, however deep; what a class has made, beside that, is as it is. */
export function copyOf(value: unknown, copies = new Map<object, unknown>()): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const isList = Array.isArray(value);
  if (!isList && Object.getPrototypeOf(value) !== Object.prototype) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  const copy: unknown[] | Record<string, unknown> = isList ? [] : {};
  copies.set(value, copy);
  for (const key of Object.keys(value)) {
    const item = copyOf((value as Record<string, unknown>)[key], copies);
    if (key !== '__proto__') (copy as Record<string, unknown>)[key] = item;
    else Object.defineProperty(copy, key, { value: item, enumerable: true, configurable: true, writable: true });
  }
  return copy;
}
