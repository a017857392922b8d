/** An engine that never answers a question: its request was lost, or its answer. All goes on as if it had failed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engines/index.ts';
import { type CallContext, defineTask, memoryEngine } from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { rigOf } from './kit.ts';

const OPERATIONS = ['fetch', 'start', 'renew', 'ack', 'fail', 'release', 'update', 'scan', 'get', 'submit', 'limit'];
const OTHERS = ['read', 'write', 'consumers', 'lock', 'broadcast', 'selfCheck'];

/** The next question of an operation isn't heard. */
function silent(engine: Engine) {
  const lost = new Set<string>();
  const faulty = new Proxy(engine, {
    get(_, name: keyof Engine) {
      const value = engine[name];
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown =>
        lost.delete(name)
          ? new Promise(() => {})
          : (engine[name] as (...args: unknown[]) => unknown).apply(engine, args);
    },
  });
  return { engine: faulty, lose: (name: string) => void lost.add(name) };
}

for (const operation of [...OPERATIONS, ...OTHERS]) {
  test(
    `one ${operation} that is never answered stops no call and no schedule`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const store = memoryEngine({ clock });
      const { engine, lose } = silent(store);
      const task = defineTask({
        name: 'task',
        retry: { attempts: 2, baseMs: 1 },
        run: (ctx: CallContext, fails: boolean) => {
          ctx.progress('begun');
          if (fails && ctx.attempt === 1) throw new Error('boom');
        },
      });
      await using rig = await rigOf(task, { clock, engine });
      const { dispatcher } = rig;
      let fired = 0;
      dispatcher.on('tick', ({ outcome }) => void (outcome === 'fired' && fired++));
      await dispatcher.every(60_000, task, true, { overlap: 'skip', missed: 'all' });
      const calls = await dispatcher.submitMany(task, [true, false]);
      await clock.advance(60_000 - 1);
      lose(operation);
      await clock.advance(1);
      calls.push(...(await dispatcher.submitMany(task, [false, true])));
      await clock.advance(240_000);
      assert.ok(fired >= 4, `${fired} ticks were fired`);
      const states = calls.map(({ status }) => status);
      assert.deepEqual(states, Array(calls.length).fill('completed'));
      assert.equal((await store.count({})).started, 0);
    }),
  );
}
