/**
 * A turn of the real event loop, whatever has been done to the global timers: by a leak tracker, or a test that mocks
 * them.
 */
const realSetImmediate = setImmediate;

/** Resolves in the check phase of the event loop: after the microtasks and immediates that are due, and ready I/O. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    realSetImmediate(resolve);
  });
}
