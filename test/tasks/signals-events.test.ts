/** One stream of all that happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type CallContext,
  Dispatcher,
  type DispatcherEvent,
  defineTask,
  type EventStream,
  memoryEngine,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';
import { echo, failing, hangs, passing, pause, rigOf, settle } from './kit.ts';

const { ERRAND_RUNS } = process.env;
const RUNS = Math.round(50 * Number(ERRAND_RUNS ?? 1));

/** All events up to the end of a stream. */
async function allOf(stream: AsyncIterable<DispatcherEvent>): Promise<DispatcherEvent[]> {
  const events: DispatcherEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** What was asked for when there was nothing to read: it is the next one to come. */
const asked = new WeakMap<EventStream, ReturnType<EventStream['next']>>();

/** What there is to read of a stream now. */
async function readNow(stream: EventStream, most = 1_000): Promise<DispatcherEvent[]> {
  const events: DispatcherEvent[] = [];
  while (events.length < most) {
    const coming = asked.get(stream) ?? stream.next();
    asked.set(stream, coming);
    const next = await Promise.race([coming, settle().then(() => undefined)]);
    if (next === undefined) break;
    asked.delete(stream);
    if (next.done) break;
    events.push(next.value);
  }
  return events;
}

function textOf(event: DispatcherEvent): string {
  if ('call' in event) return `${event.call.task} ${event.type}`;
  return event.type === 'lost' ? `lost ${event.count}` : event.type;
}

test(
  'the stream tells of all moves of all calls on the engine, in order, with the call, and of what the dispatcher says',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_000 });
    const task = defineTask({
      name: 'task',
      run: async (ctx: CallContext) => {
        ctx.log('one\ntwo');
        ctx.progress({ done: 1 });
        await pause(clock, 5);
        return 'done';
      },
    });
    const rig = await rigOf([task], { clock });
    const other = new Dispatcher({ tasks: [echo], engine: rig.engine });
    const stream = rig.dispatcher.events();
    const call = await rig.dispatcher.submit(task, { a: 1 }, { delayMs: 10 });
    await clock.advance(20);
    await other.submit(echo, 'x');
    await rig[Symbol.asyncDispose]();
    const events = await allOf(stream);
    assert.deepEqual(events.map(textOf), [
      'task submitted',
      'task scheduled',
      'task queued',
      'task started',
      'task log',
      'empty',
      'task progress',
      'task completed',
      'idle',
      'echo submitted',
      'echo queued',
      'echo started',
      'echo deadLettered',
      'empty',
    ]);
    const completed = events.find(({ type }) => type === 'completed')!;
    assert.ok(completed.type === 'completed');
    assert.deepEqual([completed.call.id, completed.call.output, completed.call.input], [call.id, 'done', { a: 1 }]);
    assert.equal(completed.at, 1_015);
    const log = events.find((event) => event.type === 'log')!;
    assert.deepEqual([log.call.id, log.lines], [call.id, ['one', 'two']]);
    const progress = events.find((event) => event.type === 'progress')!;
    assert.ok(progress.type === 'progress');
    assert.deepEqual(progress.call.progress, { done: 1 });
    await other.stop();
  }),
);

test(
  'failures, retries, dead letters, cancels and duplicates are there by their names',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = failing(2, { retry: { attempts: 2, baseMs: 0, jitter: 'none' }, deadLetter: true });
    const serial = defineTask({ name: 'serial', onDuplicate: 'queueOne', key: () => 'k', run: () => pause(clock, 10) });
    await using rig = await rigOf([task, serial, hangs], { clock });
    const stream = rig.dispatcher.events({ types: ['held', 'discarded', 'canceled', 'deadLettered', 'queued'] });
    await rig.dispatcher.submit(task, undefined);
    await rig.dispatcher.submitMany(serial, [1, 2, 3]);
    const call = await rig.dispatcher.submit(hangs, undefined);
    await call.cancel();
    await clock.advance(100);
    const told = (await readNow(stream as EventStream)).map(textOf);
    assert.deepEqual(
      told.filter((text) => text.startsWith('failing')),
      ['failing queued', 'failing queued', 'failing deadLettered'],
    );
    assert.deepEqual(
      told.filter((text) => text.startsWith('serial')),
      ['serial queued', 'serial held', 'serial held', 'serial discarded', 'serial queued'],
    );
    assert.ok(told.includes('hangs canceled'));
    await stream.return();
  }),
);

test(
  'the dispatcher says of its engine, its errors, and that it has nothing to do',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, {
      clock,
      engine,
      afterRun: () => {
        throw new Error('a hook');
      },
    });
    const stream = rig.dispatcher.events({ types: ['engineFailed', 'error', 'idle'] });
    engine.failNext('fetch');
    await passing(clock, rig.dispatcher.call(echo, 1));
    await clock.advance(1_000);
    const events = await readNow(stream as EventStream);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['engineFailed', 'error', 'idle'],
    );
    const [failed, error, idle] = events;
    assert.ok(failed?.type === 'engineFailed' && failed.detail.failures === 1);
    assert.ok(error?.type === 'error' && (error.detail as Error).message === 'a hook');
    assert.ok(idle?.type === 'idle' && idle.detail === undefined);
    await stream.return();
  }),
);

test(
  'only what is asked for comes: of these types, of calls that match; what the dispatcher says comes all the same',
  withLeakCheck(async () => {
    await using rig = await rigOf([echo, hangs]);
    const ofEcho = rig.dispatcher.events({ filter: { task: 'echo' } });
    const ends = rig.dispatcher.events({ types: ['completed', 'failed'] });
    const hanging = await rig.dispatcher.submit(hangs, undefined);
    await rig.dispatcher.call(echo, 1);
    await hanging.cancel();
    await rig.clock.advance(1);
    const told = (await readNow(ofEcho)).map(textOf).filter((text) => text !== 'empty');
    assert.deepEqual(told, ['echo submitted', 'echo queued', 'echo started', 'echo completed', 'idle']);
    assert.deepEqual((await readNow(ends as EventStream)).map(textOf), ['echo completed']);
    await ofEcho.return();
    await ends.return();
  }),
);

test(
  'it begins at the moment of the call, whenever the first event is asked for',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    await rig.dispatcher.call(echo, 'before');
    const stream = rig.dispatcher.events({ types: ['submitted'] });
    await rig.dispatcher.call(echo, 'after');
    await rig.dispatcher.call(echo, 'later');
    const inputs = (await readNow(stream as EventStream)).map((event) => 'call' in event && event.call.input);
    assert.deepEqual(inputs, ['after', 'later']);
    await stream.return();
  }),
);

test(
  'a reader that is too slow loses the oldest, and is told how many before what came after them',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const stream = rig.dispatcher.events({ types: ['submitted'], capacity: 3 });
    const submit = (inputs: number[]) => rig.dispatcher.submitMany(echo, inputs);
    const read = async (most?: number) =>
      (await readNow(stream as EventStream, most)).map((event) => ('call' in event ? event.call.input : textOf(event)));
    await submit([1, 2, 3]);
    assert.deepEqual(await read(1), [1]);
    await submit([4, 5, 6]);
    assert.deepEqual(await read(), ['lost 2', 4, 5, 6]);
    await submit([7]);
    assert.deepEqual(await read(), [7]);
    await submit([8, 9, 10, 11]);
    assert.deepEqual(await read(2), [8, 9]);
    await submit([12, 13]);
    assert.deepEqual(await read(), ['lost 1', 11, 12, 13]);
    await stream.return();
  }),
);

test('whatever is read when, each event comes or is counted as lost, in order', async () => {
  const step = fc.oneof(
    fc.record({ submit: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ read: fc.integer({ min: 1, max: 6 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), async (steps, capacity) => {
      const dispatcher = new Dispatcher({ tasks: [echo] });
      const stream = dispatcher.events({ types: ['submitted'], capacity });
      let submitted = 0;
      let next = 1;
      const read = async (most?: number): Promise<void> => {
        for (const event of await readNow(stream as EventStream, most)) {
          if (event.type === 'lost') next += event.count;
          else assert.equal('call' in event && event.call.input, next++);
        }
      };
      for (const each of steps) {
        if ('submit' in each) {
          for (let i = 0; i < each.submit; i++) await dispatcher.submit(echo, ++submitted);
        } else await read(each.read);
      }
      await dispatcher.stop();
      await read();
      assert.equal(next - 1, submitted);
    }),
    { seed, numRuns: RUNS },
  );
});

test(
  'leaving the loop ends it, and nobody has the engine watched any more',
  withLeakCheck(async () => {
    const engine = memoryEngine();
    const { watch } = engine;
    let watching = 0;
    engine.watch = (id, listener) => {
      const unwatch = watch.call(engine, id, listener);
      if (id !== undefined) return unwatch;
      watching++;
      return () => {
        watching--;
        unwatch();
      };
    };
    const dispatcher = new Dispatcher({ tasks: [echo], engine });
    assert.equal(watching, 0);
    const stream = dispatcher.events();
    await dispatcher.submit(echo, 1);
    assert.equal(watching, 1);
    for await (const event of stream) {
      assert.equal(event.type, 'submitted');
      break;
    }
    assert.equal(watching, 0);
    await dispatcher.submit(echo, 2);
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    {
      await using disposed = dispatcher.events();
      assert.equal(watching, 1);
      assert.ok(disposed);
    }
    assert.equal(watching, 0);
    await dispatcher.stop();
    await engine.close();
  }),
);

test(
  'it ends when the dispatcher has stopped, after what was still to be read, and at once for who comes later',
  withLeakCheck(async () => {
    const rig = await rigOf(echo);
    const waiting = allOf(rig.dispatcher.events({ types: ['completed'] }));
    const unread = rig.dispatcher.events({ types: ['completed'] });
    await rig.dispatcher.call(echo, 1);
    await rig[Symbol.asyncDispose]();
    assert.deepEqual((await waiting).map(textOf), ['echo completed']);
    assert.deepEqual((await allOf(unread)).map(textOf), ['echo completed']);
    assert.deepEqual(await allOf(rig.dispatcher.events()), []);
  }),
);

test(
  'it ends when the engine is closed, and can not begin after that',
  withLeakCheck(async () => {
    const engine = memoryEngine();
    const dispatcher = new Dispatcher({ tasks: [echo], engine });
    const reading = allOf(dispatcher.events());
    await dispatcher.submit(echo, 1);
    await engine.close();
    assert.deepEqual((await reading).map(textOf), ['echo submitted', 'echo queued']);
    const leaving = new AbortController();
    assert.throws(() => dispatcher.events({ signal: leaving.signal }), { code: 'ERR_SHUTDOWN' });
    await dispatcher.stop();
  }),
);

test(
  'a signal ends it: who reads gets the reason, after what was there to be read',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const leaving = new AbortController();
    const reason = new Error('enough');
    const stream = rig.dispatcher.events({ types: ['submitted'], signal: leaving.signal });
    await rig.dispatcher.submit(echo, 1);
    const [first, second] = [stream.next(), stream.next()];
    assert.equal((await first).value?.type, 'submitted');
    leaving.abort(reason);
    await assert.rejects(second, reason);
    await assert.rejects(stream.next(), reason);
    assert.throws(() => rig.dispatcher.events({ signal: leaving.signal }), reason);
  }),
);

test(
  'wrong options are refused, and nobody listens then',
  withLeakCheck(async () => {
    const dispatcher = new Dispatcher({ tasks: [echo] });
    const refused = (options: unknown, name: string, message: RegExp) =>
      assert.throws(() => dispatcher.events(options as object), { name, message });
    refused({ type: 'failed' }, 'TypeError', /type .*types, filter, capacity, signal/);
    refused({ types: 'failed' }, 'TypeError', /types/);
    refused({ types: ['complete'] }, 'RangeError', /types\[0\].*completed/);
    refused({ filter: { tasks: 'x' } }, 'TypeError', /tasks/);
    refused({ capacity: 0 }, 'RangeError', /capacity/);
    refused({ capacity: 1.5 }, 'RangeError', /capacity/);
    refused({ signal: 1 }, 'TypeError', /signal/);
    refused(null, 'TypeError', /options/);
    await dispatcher.stop();
  }),
);

test(
  'the types that are asked for are the types that come',
  withLeakCheck(async () => {
    const dispatcher = new Dispatcher({ tasks: [echo] });
    const stream = dispatcher.events({ types: ['failed', 'engineFailed'] });
    await dispatcher.stop();
    for await (const event of stream) {
      event.type satisfies 'failed' | 'engineFailed' | 'lost';
      if (event.type === 'engineFailed') event.detail.failures satisfies number;
      else if (event.type === 'failed') event.call.task satisfies string;
      else event.count satisfies number;
    }
    // @ts-expect-error: there is no such type
    assert.throws(() => dispatcher.events({ types: ['complete'] }));
  }),
);

test(
  'ready comes again when a lost engine was reached anew',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    let ready = 0;
    rig.dispatcher.on('ready', () => ready++);
    await clock.advance(10_000);
    assert.equal(ready, 0);
    engine.goDown();
    await clock.advance(60_000);
    assert.equal(ready, 0);
    engine.comeUp();
    await clock.advance(60_000);
    assert.equal(ready, 1);
  }),
);

test(
  'empty does not come while there is no room for what may wait, in a queue or on a manager',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const slow = defineTask({ name: 'slow', queue: 'slow', run: (_ctx, ms: number) => pause(clock, ms) });
    await using rig = await rigOf([slow, echo], { clock, queues: { slow: { concurrency: 1 }, default: {} } });
    const empty: number[] = [];
    rig.dispatcher.on('empty', () => empty.push(clock.now()));
    await rig.dispatcher.submitMany(slow, [100, 100]);
    await rig.dispatcher.submit(echo, 1);
    await clock.advance(1_000);
    assert.deepEqual(empty, [200]);
  }),
);
