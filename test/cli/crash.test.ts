/** SIGKILL at any moment, and a journal: nothing runs again that it holds, and nothing is missing in the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';
import { Desk, type Result, resultsOf } from './support.ts';

const KILLS = 20;
const INPUTS = 1_500;
/** The longest call. */
const MOST_MS = 20;

/** Numbers from 0 to 1, the same again for the same seed. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test(
  'what was killed at random moments is taken up again, until it is complete',
  withLeakCheck(async (t) => {
    t.diagnostic(`ERRAND_SEED=${seed}`);
    const random = randomFrom(seed);
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export default async (input) => {
        appendFileSync('called', input + '\\n');
        await new Promise((resolve) => setTimeout(resolve, Math.random() * ${MOST_MS}));
        return 'x'.repeat(Number(input) % 100);
      };`,
    );
    const inputs = Array.from({ length: INPUTS }, (_, i) => String(i));
    desk.write('inputs', inputs.join('\n'));
    const args = ['map', 'm.mjs', '--from', 'inputs', '--journal', 'journal', '--quiet'];
    /** The outcomes of its whole lines. */
    const held = (): Result[] => {
      const text = desk.lines('called').length === 0 ? '' : desk.read('journal');
      return resultsOf(text.slice(0, text.lastIndexOf('\n') + 1)).slice(1);
    };

    let before = new Set<unknown>();
    let calls = 0;
    const checkCalls = (): void => {
      const called = desk.lines('called').slice(calls);
      const again = called.filter((input) => before.has(input));
      assert.deepEqual(again, [], 'held by the journal, and yet called again');
      calls += called.length;
    };
    for (let kill = 1; kill <= KILLS; kill++) {
      const errand = desk.start([...args, '--concurrency', String(1 + Math.floor(random() * 8))]);
      // Now and then before it has come to work; else when the first results are out, or some time after.
      if (random() > 0.2) await errand.until(/\n/);
      await sleep(random() * 4 * MOST_MS);
      errand.child.kill('SIGKILL');
      assert.equal(await errand.ended, 'SIGKILL', `kill ${kill} came too late:\n${errand.stderr}`);
      checkCalls();
      const kept = held();
      assert.equal(new Set(kept.map(({ input }) => input)).size, kept.length, 'an outcome is kept once');
      before = new Set(kept.map(({ input }) => input));
      // What was printed had been kept before.
      const printed = resultsOf(errand.stdout.slice(0, errand.stdout.lastIndexOf('\n') + 1));
      for (const { input } of printed) assert.ok(before.has(input), `${String(input)} was printed, but isn't kept`);
    }

    const last = await desk.run([...args, '--concurrency', '64']);
    assert.equal(last.code, 0, last.stderr);
    checkCalls();
    assert.equal(last.results.length, INPUTS - before.size);
    const all = await desk.run([...args, '--replay', '--ordered']);
    assert.equal(all.code, 0, all.stderr);
    assert.deepEqual(
      all.results,
      inputs.map((input) => ({ input, value: 'x'.repeat(Number(input) % 100) })),
    );
    assert.equal(desk.lines('called').length, calls, 'a complete journal needs no calls');
    t.diagnostic(`${calls} calls for ${INPUTS} inputs`);
  }),
);
