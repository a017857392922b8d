/** What the checks in the page are made of; in a browser there is no node:assert. */
import type { Result } from './result.ts';

/** Functions by what they show. One fails by a throw, a rejection it leaves behind, or by not ending. */
export type Checks = Readonly<Record<string, () => Promise<void>>>;

const LIMIT_MS = 5_000;

/** What nobody has handled since the last check. */
const unhandled: unknown[] = [];
addEventListener('unhandledrejection', ({ reason }) => unhandled.push(reason));
addEventListener('error', ({ error }) => unhandled.push(error));

/** Runs them one after the other, and says in the console which, for whoever wonders where the page has stayed. */
export async function runChecks(checks: Checks): Promise<Result[]> {
  const results: Result[] = [];
  for (const [name, check] of Object.entries(checks)) {
    console.log(name);
    try {
      await limited(check());
      await nextTurn(); // what is unhandled is told after the microtasks
      if (unhandled.length > 0) throw new Error(`unhandled: ${unhandled.splice(0).map(inWords).join(', ')}`);
      results.push({ name });
    } catch (error) {
      console.error(inWords(error));
      results.push({ name, error: inWords(error) });
    }
  }
  return results;
}

/** @throws Error unless both look the same as JSON */
export function equal(actual: unknown, expected: unknown): void {
  const [is, shouldBe] = [actual, expected].map(show);
  if (is !== shouldBe) throw new Error(`expected ${shouldBe}, got ${is}`);
}

/** What a promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const [settled] = await Promise.allSettled([promise]);
  if (settled.status === 'fulfilled') throw new Error(`expected a rejection, got ${show(settled.value)}`);
  return settled.reason;
}

/** The name of the error that a function throws. */
export function thrownBy(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as Error).name;
  }
  throw new Error('expected a throw');
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (part === undefined ? 'undefined' : part));
}

function inWords(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}

async function limited(promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
