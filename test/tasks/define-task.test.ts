import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type } from 'arktype';
import { z } from 'zod';
import { type Definition, definitionOf } from '../../src/tasks/define-task.ts';
import { byHash, defineTask, InvalidInputError, roundRobin, type TaskDefinition } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

type Given = TaskDefinition<unknown, unknown, unknown, unknown>;

function define(options: Partial<Given> = {}): Definition {
  return definitionOf(defineTask({ name: 'image.resize', run: () => 1, ...options }));
}

test(
  'a task has its name and version, and nothing about it can be changed',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'image.resize', version: 3, run: () => 1 });
    assert.equal(task.name, 'image.resize');
    assert.equal(task.version, 3);
    assert.throws(() => Object.assign(task, { name: 'other' }), TypeError);
    assert.throws(() => Object.assign(definitionOf(task), { timeoutMs: 1 }), TypeError);
  }),
);

test(
  'what is not said has its default',
  withLeakCheck(async () => {
    const run = () => 1;
    const { route, keyOf, lanesOf, ...rest } = define({ run });
    assert.deepEqual(rest, {
      name: 'image.resize',
      version: 1,
      description: undefined,
      inputSchema: undefined,
      outputSchema: undefined,
      migrate: undefined,
      fixedQueue: 'default',
      queues: ['default'],
      priority: 0,
      overridable: new Set(),
      timeoutMs: undefined,
      retry: undefined,
      onDuplicate: 'parallel',
      limits: new Map(),
      stallAfterMs: undefined,
      heartbeatEveryMs: 1_000,
      onStall: 'fail',
      onWorkerLost: 'retry',
      onShutdown: 'requeue',
      deadLetter: false,
      authorize: undefined,
      retention: { completedMs: 60_000, failedMs: 86_400_000 },
      manager: 'default',
      observe: { metrics: 'all', traces: 'all' },
      examples: [],
      run,
    });
    assert.equal(route(1), 'default');
    assert.equal(keyOf(1, '1'), undefined);
    assert.deepEqual(lanesOf(1), []);
  }),
);

test(
  'what is said is kept, as it was when it was said',
  withLeakCheck(async () => {
    const retry = { attempts: 3 };
    const authorize = ['images:write'];
    const overridable: ('priority' | 'queue')[] = ['priority', 'queue'];
    const definition = define({
      description: 'Makes it small.',
      priority: -1.5,
      overridable,
      timeoutMs: 5,
      retry,
      authorize,
      stallAfterMs: 7,
      onStall: 'retry',
      onWorkerLost: 'fail',
      onShutdown: 'drain',
      deadLetter: true,
      retain: { completed: 0, failed: Number.POSITIVE_INFINITY },
      manager: 'databases',
      examples: [{ input: 1, output: 2 }],
    });
    retry.attempts = 9;
    authorize.push('another');
    overridable.pop();
    assert.equal(definition.description, 'Makes it small.');
    assert.equal(definition.priority, -1.5);
    assert.deepEqual(definition.overridable, new Set(['priority', 'queue']));
    assert.equal(definition.timeoutMs, 5);
    assert.deepEqual(definition.retry, { attempts: 3 });
    assert.deepEqual(definition.authorize, ['images:write']);
    assert.equal(definition.stallAfterMs, 7);
    assert.equal(definition.onStall, 'retry');
    assert.equal(definition.onWorkerLost, 'fail');
    assert.equal(definition.onShutdown, 'drain');
    assert.equal(definition.deadLetter, true);
    assert.deepEqual(definition.retention, { completedMs: 0, failedMs: Number.POSITIVE_INFINITY });
    assert.equal(definition.manager, 'databases');
    assert.deepEqual(definition.examples, [{ input: 1, output: 2 }]);
  }),
);

test(
  'limits of time that are Infinity are none',
  withLeakCheck(async () => {
    const { timeoutMs, stallAfterMs } = define({
      timeoutMs: Number.POSITIVE_INFINITY,
      stallAfterMs: Number.POSITIVE_INFINITY,
    });
    assert.equal(timeoutMs, undefined);
    assert.equal(stallAfterMs, undefined);
  }),
);

// ---- queues ----------------------------------------------------------------------------------------------------------

test(
  'a queue can be a name, a function, or a route that knows its queues',
  withLeakCheck(async () => {
    const fixed = define({ queue: 'images' });
    assert.equal(fixed.route({}), 'images');
    assert.equal(fixed.fixedQueue, 'images');
    assert.deepEqual(fixed.queues, ['images']);

    const anywhere = define({ queue: (input) => `q-${input}` });
    assert.equal(anywhere.route(7), 'q-7');
    assert.equal(anywhere.fixedQueue, undefined);
    assert.deepEqual(anywhere.queues, []);

    const known = define({ queue: roundRobin(['a', 'b']) });
    assert.deepEqual([known.route(1), known.route(1), known.route(1)], ['a', 'b', 'a']);
    assert.equal(known.fixedQueue, undefined);
    assert.deepEqual(known.queues, ['a', 'b']);
  }),
);

test(
  'a queue that fails for an input makes the input invalid',
  withLeakCheck(async () => {
    const cause = new Error('no tenant');
    const throwing = define({
      queue: () => {
        throw cause;
      },
    });
    assert.throws(
      () => throwing.route(1),
      (error: Error) => {
        assert.ok(error instanceof InvalidInputError);
        assert.equal(error.message, 'queue threw for the input: no tenant');
        assert.equal(error.cause, cause);
        return true;
      },
    );
    assert.throws(() => define({ queue: () => undefined as never }).route(1), {
      name: 'InvalidInputError',
      message: 'queue must return a string, but returned undefined',
    });
    assert.throws(() => define({ queue: () => '' }).route(1), {
      name: 'InvalidInputError',
      message: 'queue must return the name of a queue, but returned ""',
    });
    // Its lane would be one of the lanes of another queue, and go by the limits of that.
    assert.throws(() => define({ queue: () => 'a\nb' }).route(1), {
      name: 'InvalidInputError',
      message: 'queue must return the name of a queue, but returned "a\\nb"',
    });
    const lying = Object.assign(() => 'c', { queues: ['a', 'b'] });
    assert.throws(() => define({ queue: lying }).route(1), {
      name: 'InvalidInputError',
      message: 'queue must return one of a, b, but returned "c"',
    });
    const keyless = byHash(['a'], () => 5 as never);
    assert.throws(() => define({ queue: keyless }).route(1), InvalidInputError);
  }),
);

// ---- keys ------------------------------------------------------------------------------------------------------------

test(
  'without a key, inputs are duplicates when their JSON says the same, in whatever order',
  withLeakCheck(async () => {
    for (const onDuplicate of ['serial', 'discard', 'queueOne'] as const) {
      const { keyOf } = define({ onDuplicate });
      const keys = ['{"a":1,"b":{"d":[1,2],"c":3}}', '{"b":{"c":3,"d":[1,2]},"a":1}'].map((json) => keyOf({}, json));
      assert.equal(keys[0], keys[1]);
      assert.notEqual(keyOf({}, '{"a":[1,2]}'), keyOf({}, '{"a":[2,1]}'));
      assert.notEqual(keyOf({}, '[1]'), keyOf({}, '{"0":1}'));
      assert.notEqual(keyOf({}, '{"__proto__":{"a":1}}'), keyOf({}, '{}'));
      assert.equal(keyOf(undefined, ''), '');
      assert.equal(keyOf(null, 'null'), 'null');
    }
  }),
);

test(
  'a key is what its function makes of the input; where duplicates run in parallel there is none',
  withLeakCheck(async () => {
    const key = (input: unknown) => `key of ${input}`;
    assert.equal(define({ onDuplicate: 'serial', key }).keyOf('x', '"x"'), 'key of x');
    assert.equal(define({ onDuplicate: 'parallel', key }).keyOf('x', '"x"'), undefined);
  }),
);

test(
  'a key that fails for an input makes the input invalid',
  withLeakCheck(async () => {
    const noText = define({ onDuplicate: 'serial', key: () => 7 as never });
    assert.throws(() => noText.keyOf(1, '1'), {
      name: 'InvalidInputError',
      message: 'key must return a string, but returned 7',
    });
    const throwing = define({
      onDuplicate: 'serial',
      key: () => {
        throw 'a text';
      },
    });
    assert.throws(() => throwing.keyOf(1, '1'), {
      name: 'InvalidInputError',
      message: 'key threw for the input: "a text"',
      cause: 'a text',
    });
  }),
);

// ---- limits ----------------------------------------------------------------------------------------------------------

test(
  'every limit is a lane of its own, and every key of a limit one in it',
  withLeakCheck(async () => {
    const { limits, lanesOf } = define({
      rateLimit: [
        { limit: 100 },
        { limit: 5, intervalMs: 60_000, key: (input) => (input as { tenant: string }).tenant },
      ],
      concurrency: [{ limit: 8 }, { limit: 1, key: () => 'a\nb' }],
    });
    assert.deepEqual(
      limits,
      new Map([
        ['task:image.resize:rate:0', { rate: { limit: 100, intervalMs: 1_000 } }],
        ['task:image.resize:rate:1', { rate: { limit: 5, intervalMs: 60_000 } }],
        ['task:image.resize:concurrency:0', { concurrency: 8 }],
        ['task:image.resize:concurrency:1', { concurrency: 1 }],
      ]),
    );
    assert.deepEqual(lanesOf({ tenant: 'acme' }), [
      'task:image.resize:rate:0',
      'task:image.resize:rate:1\nacme',
      'task:image.resize:concurrency:0',
      'task:image.resize:concurrency:1\na\nb',
    ]);
  }),
);

test(
  'one limit needs no list, and one of how many at once no object',
  withLeakCheck(async () => {
    const { limits, lanesOf } = define({ rateLimit: { limit: 2, intervalMs: 0.5 }, concurrency: 4 });
    assert.deepEqual([...limits.values()], [{ rate: { limit: 2, intervalMs: 0.5 } }, { concurrency: 4 }]);
    assert.deepEqual(lanesOf(1), [...limits.keys()]);
    assert.deepEqual([...define({ concurrency: { limit: 4 } }).limits.values()], [{ concurrency: 4 }]);
  }),
);

test(
  'a key of a limit that fails for an input makes the input invalid',
  withLeakCheck(async () => {
    const { lanesOf } = define({
      rateLimit: [{ limit: 1 }, { limit: 1, key: (input) => (input as { tenant: { id: string } }).tenant.id }],
    });
    assert.throws(() => lanesOf({}), {
      name: 'InvalidInputError',
      message: /^rateLimit\[1\]\.key threw for the input: Cannot read/,
    });
    const numbered = define({ concurrency: { limit: 1, key: () => 5 as never } });
    assert.throws(() => numbered.lanesOf({}), { message: 'concurrency.key must return a string, but returned 5' });
  }),
);

// ---- what is wrong ---------------------------------------------------------------------------------------------------

const wrong: readonly (readonly [options: object, name: 'TypeError' | 'RangeError', message: string | RegExp])[] = [
  [{ name: undefined }, 'TypeError', 'name must be a string, but is undefined'],
  [{ name: '' }, 'RangeError', 'name must be a text that is not empty and has no control characters, but is ""'],
  [{ name: 'a\nb' }, 'RangeError', /^name must .* but is "a\\nb"$/],
  [{ name: 'a\u009b' }, 'RangeError', /^name must/],
  [{ run: undefined }, 'TypeError', 'run must be a function, but is undefined'],
  [{ retries: 3 }, 'TypeError', /^retries is not an option of a task; those are name, version, /],
  [{ version: 0 }, 'RangeError', 'version must be an integer of at least 1, but is 0'],
  [{ version: 1.5 }, 'RangeError', 'version must be an integer of at least 1, but is 1.5'],
  [{ version: '1' }, 'TypeError', 'version must be an integer of at least 1, but is "1"'],
  [{ description: 5 }, 'TypeError', 'description must be a string, but is 5'],
  [{ input: {} }, 'TypeError', /^input must be a Standard Schema, as zod, valibot and arktype make, but is an/],
  [{ input: () => true }, 'TypeError', /^input must be a Standard Schema/],
  [{ input: null }, 'TypeError', /^input must be a Standard Schema/],
  [{ output: { '~standard': { version: 1 } } }, 'TypeError', /^output must be a Standard Schema/],
  [
    { output: { '~standard': { version: 2, validate() {} } } },
    'RangeError',
    "output['~standard'].version must be 1, but is 2",
  ],
  [{ migrate: 1 }, 'TypeError', 'migrate must be a function, but is 1'],
  [{ queue: 5 }, 'TypeError', 'queue must be a string or a function, but is 5'],
  [{ queue: '' }, 'RangeError', /^queue must be a text/],
  [{ queue: Object.assign(() => 'a', { queues: [] }) }, 'RangeError', /^queue\.queues must be at least one queue/],
  [{ priority: '1' }, 'TypeError', 'priority must be a finite number, but is "1"'],
  [{ priority: Number.POSITIVE_INFINITY }, 'RangeError', 'priority must be a finite number, but is Infinity'],
  [{ overridable: 'priority' }, 'TypeError', 'overridable must be an array, but is "priority"'],
  [
    { overridable: ['name'] },
    'RangeError',
    'overridable[0] must be one of priority, queue, timeoutMs, attempts, but is "name"',
  ],
  [{ timeoutMs: 0 }, 'RangeError', 'timeoutMs must be a number above 0 or Infinity, but is 0'],
  [{ retry: 3 }, 'TypeError', 'retry must be an object, but is 3'],
  [{ retry: { attempts: 0 } }, 'RangeError', /^retry\.attempts must be/],
  [{ retry: { attempts: 1, jitter: 'some' } }, 'RangeError', /^retry\.jitter must be/],
  [
    { onDuplicate: 'drop' },
    'RangeError',
    'onDuplicate must be one of parallel, serial, discard, queueOne, but is "drop"',
  ],
  [{ onDuplicate: 'serial', key: 'path' }, 'TypeError', 'key must be a function, but is "path"'],
  [{ key: () => 'a' }, 'TypeError', 'key needs onDuplicate: without it no call counts as a duplicate'],
  [{ rateLimit: 5 }, 'TypeError', 'rateLimit must be an object, but is 5'],
  [{ rateLimit: {} }, 'TypeError', 'rateLimit.limit must be an integer of at least 1, but is undefined'],
  [{ rateLimit: [{ limit: 1 }, { limit: 0 }] }, 'RangeError', /^rateLimit\[1\]\.limit must be an integer/],
  [{ rateLimit: { limit: 1, intervalMs: 0 } }, 'RangeError', /^rateLimit\.intervalMs must be a number above 0/],
  [{ rateLimit: { limit: 1, key: 'a' } }, 'TypeError', 'rateLimit.key must be a function, but is "a"'],
  [{ rateLimit: { limit: 1, burst: 2 } }, 'TypeError', /^burst is not an option of rateLimit; those are limit, /],
  [{ concurrency: 0 }, 'RangeError', 'concurrency must be an integer of at least 1, but is 0'],
  [{ concurrency: [{ limit: 0.5 }] }, 'RangeError', /^concurrency\[0\]\.limit must be an integer/],
  [{ concurrency: { limit: 1, intervalMs: 2 } }, 'TypeError', /^intervalMs is not an option of concurrency/],
  [{ stallAfterMs: -1 }, 'RangeError', /^stallAfterMs must be/],
  [{ onStall: 'stop' }, 'RangeError', 'onStall must be one of fail, retry, but is "stop"'],
  [{ onWorkerLost: true }, 'RangeError', 'onWorkerLost must be one of retry, fail, but is true'],
  [{ onShutdown: 'wait' }, 'RangeError', 'onShutdown must be one of stop, requeue, drain, but is "wait"'],
  [{ deadLetter: 'yes' }, 'TypeError', 'deadLetter must be a boolean, but is "yes"'],
  [{ authorize: 'images' }, 'TypeError', 'authorize must be an array of permissions or a function, but is "images"'],
  [{ authorize: ['a', ''] }, 'RangeError', /^authorize\[1\] must be a text/],
  [{ retain: 5 }, 'TypeError', 'retain must be an object, but is 5'],
  [{ retain: null }, 'TypeError', 'retain must be an object, but is null'],
  [{ retain: { completed: -1 } }, 'RangeError', /^retain\.completed must be/],
  [{ retain: { failed: '1' } }, 'TypeError', /^retain\.failed must be/],
  [{ retain: { done: 1 } }, 'TypeError', /^done is not an option of retain/],
  [{ manager: '' }, 'RangeError', /^manager must be a text/],
  [{ examples: {} }, 'TypeError', /^examples must be an array/],
  [{ examples: [{ input: 1, output: 1 }, 5] }, 'TypeError', 'examples[1] must be an object, but is 5'],
  [{ examples: [{ in: 1 }] }, 'TypeError', /^in is not an option of examples\[0\]; those are input, output$/],
];

for (const [options, name, message] of wrong) {
  const [[option, value] = []] = Object.entries(options);
  test(
    `a definition with ${option} ${JSON.stringify(value) ?? String(value)} is refused at once, with its name and value`,
    withLeakCheck(async () => {
      assert.throws(() => define(options), { name, message });
    }),
  );
}

test(
  'what is no definition at all is refused',
  withLeakCheck(async () => {
    for (const value of [undefined, null, 'image.resize', () => 1]) {
      assert.throws(() => defineTask(value as never), { name: 'TypeError', message: /^definition must be an object/ });
    }
  }),
);

test(
  'a schema may be an object or a function',
  withLeakCheck(async () => {
    const object = z.string();
    const callable = type('string');
    assert.equal(typeof callable, 'function');
    assert.equal(define({ input: object as never }).inputSchema, object);
    assert.equal(define({ output: callable as never }).outputSchema, callable);
  }),
);

test(
  'what looks like a task but was not defined is none',
  withLeakCheck(async () => {
    for (const value of [
      { name: 'a', version: 1 },
      Object.create(defineTask({ name: 'a', run: () => 1 })),
      null,
      'a',
    ]) {
      assert.throws(() => definitionOf(value), {
        name: 'TypeError',
        message: /^task must be what defineTask has given, but is /,
      });
    }
  }),
);
