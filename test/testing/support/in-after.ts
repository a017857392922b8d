/** A file of tests with a leak check in its `after`; if LEAK says so, one of them leaves something. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it, test } from 'node:test';
import { leakCheck } from '../../../src/testing/index.ts';

const noop = (): void => {};
const kept = new AbortController();
const { LEAK: leak } = process.env;

after(leakCheck());

before(noop);
afterEach(noop);

test('one that has a signal', { timeout: 60_000 }, async (t) => {
  const timer = setTimeout(noop, 60_000);
  await t.test('and another one within', noop);
  if (leak === 'timer') timer.unref();
  else clearTimeout(timer);
});

test('one that waits', async () => {
  await new Promise((resolve) => setTimeout(resolve, 1));
  if (leak === 'listener') process.on('SIGUSR2', noop);
  if (leak === 'abort') kept.signal.addEventListener('abort', noop);
});

describe('a suite', () => {
  after(noop);
  it('rejects', () => assert.rejects(Promise.reject(new Error())));
});
