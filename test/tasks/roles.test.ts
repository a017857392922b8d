/**
 * What a dispatcher takes can change at any time: sets of queues, weights, sizes, limits, pauses, by itself and by
 * control. Whatever is said at random while calls run on several dispatchers, each call runs exactly once.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type CallContext, defineTask, memoryEngine, type QueueMap, type QueueOptions } from '../../src/tasks/index.ts';
import { type FaultyEngine, faultyEngine, VirtualClock } from '../../src/testing/index.ts';
import { property } from '../properties/support/check.ts';
import { passing, pause, type Rig, rigOf } from './kit.ts';

const QUEUES = ['a', 'b', 'c'] as const;
const ALL: QueueMap = Object.fromEntries(QUEUES.map((name) => [name, {}]));
const DISPATCHERS = 3;

const queue = fc.constantFrom(...QUEUES);
const which = fc.nat(DISPATCHERS - 1);
const rateLimit = fc.record({ limit: fc.integer({ min: 1, max: 5 }), intervalMs: fc.constantFrom(10, 300) });
const size = fc.constantFrom(1, 2, Infinity);
const options: fc.Arbitrary<QueueOptions> = fc.record(
  { concurrency: size, weight: fc.constantFrom(0.5, 1, 7), rateLimit },
  { requiredKeys: [] },
);
const queues: fc.Arbitrary<QueueMap> = fc
  .tuple(fc.shuffledSubarray([...QUEUES]), fc.array(options, { minLength: 3, maxLength: 3 }))
  .map(([names, each]) => Object.fromEntries(names.map((name, index) => [name, each[index]!])));
const scope = fc.option(which, { nil: undefined, freq: 3 });

const step = fc.oneof(
  fc.record({
    do: fc.constant('submit' as const),
    queue,
    count: fc.integer({ min: 1, max: 12 }),
    ms: fc.constantFrom(0, 3, 40, 500),
    which,
  }),
  fc.record({ do: fc.constant('set queues' as const), queues, which }),
  fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const), queue, which, scope }),
  fc.record({ do: fc.constant('resize' as const), queue, size, which, scope }),
  fc.record({ do: fc.constant('limit' as const), queue, rateLimit: fc.option(rateLimit, { nil: undefined }), which }),
  fc.record({ do: fc.constant('reset' as const), queue, which }),
  fc.record({ do: fc.constant('broadcast' as const), which }),
  fc.record({ do: fc.constantFrom('deafen' as const, 'undeafen' as const, 'fail' as const), which }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

property(
  'whatever is said of queues while calls run on several dispatchers, each runs exactly once',
  20,
  fc.record({
    order: fc.constantFrom('strict' as const, 'weighted' as const),
    initial: fc.array(queues, { minLength: DISPATCHERS, maxLength: DISPATCHERS }),
    steps: fc.array(fc.tuple(fc.constantFrom(0, 0, 1, 20, 400, 6_000), step), {
      minLength: 1,
      maxLength: 40,
      size: 'max',
    }),
  }),
  async ({ order, initial, steps }) => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const runs = new Map<string, number>();
    const tasks = QUEUES.map((name) =>
      defineTask({
        name,
        queue: name,
        retain: { completed: 1e9, failed: 1e9 },
        run: async ({ id }: CallContext, ms: number) => {
          runs.set(id, (runs.get(id) ?? 0) + 1);
          if (ms > 0) await pause(clock, ms);
        },
      }),
    );
    const engines: FaultyEngine[] = [];
    const rigs: Rig[] = [];
    for (const [index, queues] of initial.entries()) {
      engines.push(faultyEngine(store));
      rigs.push(
        await rigOf(tasks, { clock, engine: engines[index]!, name: `${index}`, queues, order, concurrency: 3 }),
      );
    }
    const ids: string[] = [];
    const said: Promise<unknown>[] = [];
    const note = (calls: Iterable<{ readonly id: string }>) => {
      for (const { id } of calls) ids.push(id);
    };
    const perform = (now: Step): Promise<unknown> => {
      const { dispatcher } = rigs[now.which]!;
      const { queues } = dispatcher.control;
      const single = 'scope' in now && now.scope !== undefined ? { dispatcher: `${now.scope}` } : {};
      switch (now.do) {
        case 'submit':
          return dispatcher
            .submitMany(tasks[QUEUES.indexOf(now.queue)]!, Array<number>(now.count).fill(now.ms))
            .then(note);
        case 'set queues':
          return dispatcher.setQueues(now.queues);
        case 'pause':
          return queues.pause(now.queue, single);
        case 'resume':
          return queues.resume(now.queue, single);
        case 'resize':
          return queues.resize(now.queue, now.size, single);
        case 'limit':
          return queues.limit(now.queue, now.rateLimit);
        case 'reset':
          return queues.reset(now.queue);
        case 'broadcast':
          return dispatcher.broadcast(tasks[0]!, 0).then((calls) => note(calls.values()));
        default:
          if (now.do === 'fail')
            for (const name of ['read', 'fetch', 'limit'] as const) engines[now.which]!.failNext(name);
          else engines[now.which]!.deafen(now.do === 'deafen');
          return Promise.resolve();
      }
    };
    for (const [ms, now] of steps) {
      await clock.advance(ms);
      // What an engine that fails lets nobody say, nobody has said.
      said.push(perform(now).catch((error: Error) => assert.match(error.message, /has failed/)));
    }
    for (const engine of engines) engine.deafen(false);
    await passing(clock, Promise.all(said));
    // At last all is taken again; an engine that is still to fail hears it when it has failed.
    for (const { dispatcher } of rigs) await insist(clock, () => dispatcher.setQueues(ALL));
    for (const name of QUEUES) await insist(clock, () => rigs[0]!.dispatcher.control.queues.reset(name));
    for (let left = 120; left > 0 && (await store.count({})).completed < ids.length; left--) await clock.advance(1_000);
    const { completed, ...rest } = await store.count({});
    assert.equal(completed, ids.length, JSON.stringify(rest));
    assert.deepEqual(
      ids.filter((id) => runs.get(id) !== 1),
      [],
      'lost or repeated',
    );
    assert.equal(runs.size, ids.length);
    for (const rig of rigs) await rig[Symbol.asyncDispose]();
    await store.close();
    assert.equal(clock.timerCount, 0);
  },
);

/** Says something until it is heard. */
async function insist(clock: VirtualClock, say: () => Promise<unknown>): Promise<void> {
  for (let left = 50; left > 0; left--) {
    try {
      await passing(clock, say());
      return;
    } catch {}
  }
  throw new Error('never heard');
}
