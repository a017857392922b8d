import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  type AnyTask,
  type CallContext,
  defineTask,
  type Example,
  TaskRegistry,
  testExamples,
} from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

/** What is said of the examples that failed. */
async function failuresOf(...tasks: readonly AnyTask[]): Promise<string[]> {
  try {
    await testExamples(new TaskRegistry(tasks));
  } catch (error) {
    assert.ok(error instanceof AggregateError, String(error));
    return (error.errors as Error[]).map(({ message }) => message);
  }
  return [];
}

/** A task that gives back what it gets, with an example. */
function echo(example: Example<unknown, unknown>): AnyTask {
  return defineTask({ name: 'echo', run: (_ctx, input) => input, examples: [example] });
}

test(
  'examples that are right are counted',
  withLeakCheck(async () => {
    const double = defineTask({
      name: 'double',
      run: async (_ctx, input: number) => 2 * input,
      examples: [
        { input: 1, output: 2 },
        { input: -2, output: -4 },
      ],
    });
    const registry = new TaskRegistry([double, echo({ input: { a: [1] }, output: { a: [1] } })]);
    assert.equal(await testExamples(registry), 3);
    assert.equal(await testExamples(new TaskRegistry()), 0);
    assert.equal(await testExamples(new TaskRegistry([defineTask({ name: 'a', run: () => {} })])), 0);
  }),
);

test(
  'all that fail are told together, each by its task and place, with the first difference',
  withLeakCheck(async () => {
    const image = (name: string, version: number) =>
      defineTask({
        name,
        version,
        run: (_ctx, width: number) => ({ size: { width, tags: ['a', 'b'] } }),
        examples: [
          { input: 1, output: { size: { width: 1, tags: ['a', 'b'] } } },
          { input: 2, output: { size: { width: 3, tags: ['c'] } } },
        ],
      });
    const registry = new TaskRegistry([image('image.resize', 2), image('image.crop', 1)]);
    await assert.rejects(testExamples(registry), {
      name: 'AggregateError',
      message: [
        '2 of 4 examples failed',
        '- image.crop (version 1), example 2: output.size.width is 2, but the example says 3',
        '- image.resize (version 2), example 2: output.size.width is 2, but the example says 3',
      ].join('\n'),
    });
  }),
);

test(
  'outputs are compared to the bottom, as JSON has them',
  withLeakCheck(async () => {
    const same: readonly (readonly [output: unknown, expected: unknown])[] = [
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      [{ a: undefined }, {}],
      [new Date(0), '1970-01-01T00:00:00.000Z'],
      [undefined, undefined],
      [-0, 0],
      [[], []],
    ];
    for (const [output, expected] of same) {
      const task = defineTask({ name: 'a', run: () => output, examples: [{ input: 1, output: expected }] });
      assert.deepEqual(await failuresOf(task), []);
    }
    const different: readonly (readonly [output: unknown, expected: unknown, difference: string])[] = [
      [1, '1', "output is 1, but the example says '1'"],
      [null, undefined, 'output is null, but the example says undefined'],
      [[], {}, 'output is [], but the example says {}'],
      [{}, [], 'output is {}, but the example says []'],
      [{ a: 1 }, {}, 'output.a is 1, but the example says undefined'],
      [{}, { a: null }, 'output.a is undefined, but the example says null'],
      [[1, 2], [1], 'output[1] is 2, but the example says undefined'],
      [[{ 'a b': [0] }], [{ 'a b': [1] }], 'output[0]["a b"][0] is 0, but the example says 1'],
      [{ toString: 1 }, {}, 'output.toString is 1, but the example says undefined'],
    ];
    for (const [output, expected, difference] of different) {
      const task = defineTask({ name: 'a', run: () => output, examples: [{ input: 1, output: expected }] });
      assert.deepEqual(await failuresOf(task), [`a (version 1), example 1: ${difference}`]);
    }
  }),
);

test(
  'an example goes the way of a call: through JSON, and through the schemas',
  withLeakCheck(async () => {
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'a',
      input: z.object({ at: z.coerce.date<string>(), tag: z.string().default('none') }),
      output: z.object({ year: z.number().transform((year) => `${year}`) }),
      run: async (_ctx, input) => {
        seen.push(input);
        return { year: input.at.getUTCFullYear() };
      },
      examples: [{ input: { at: '1970-01-01' }, output: { year: '1970' } }],
    });
    assert.equal(await testExamples(new TaskRegistry([task])), 1);
    assert.deepEqual(seen, [{ at: new Date(0), tag: 'none' }]);

    const input = new Date(0);
    assert.deepEqual(await failuresOf(echo({ input, output: input.toISOString() })), []);
  }),
);

test(
  'whatever goes wrong on the way is told, and the others go on',
  withLeakCheck(async () => {
    const text = z.string();
    const fails = () => {
      throw new Error('out of order');
    };
    const examples = [{ input: 'a', output: 'a' }];
    const failures = await failuresOf(
      defineTask({ name: '1', run: fails, examples }),
      defineTask({ name: '2', run: async () => fails(), examples }),
      defineTask({ name: '3', input: text, run: () => 'a', examples: [{ input: 1 as never, output: 'a' }] }),
      defineTask({ name: '4', output: text, run: () => 1 as never, examples }),
      defineTask({ name: '5', run: () => 1n, examples }),
      defineTask({ name: '6', run: (_ctx, input) => input, examples: [{ input: new Map(), output: 1 }] }),
      defineTask({ name: '7', queue: fails, run: () => 'a', examples }),
      defineTask({ name: '8', run: () => 'a', examples }),
    );
    assert.deepEqual(
      failures.map((message) => message.replace(' (version 1), example 1', '')),
      [
        '1: out of order',
        '2: out of order',
        '3: the input is invalid: input: Invalid input: expected string, received number',
        '4: the output is invalid: output: Invalid input: expected string, received number',
        "5: output is a BigInt, which JSON can't hold",
        "6: input is an instance of Map, which JSON can't hold",
        '7: queue threw for the input: out of order',
      ],
    );
  }),
);

test(
  'the error that was thrown is the cause of what is told',
  withLeakCheck(async () => {
    const cause = new Error('mine');
    const task = defineTask({
      name: 'a',
      run: () => Promise.reject(cause),
      examples: [{ input: 1, output: 1 as never }],
    });
    await assert.rejects(testExamples(new TaskRegistry([task])), (error: AggregateError) => {
      assert.equal((error.errors[0] as Error).cause, cause);
      return true;
    });
  }),
);

test(
  'the context of an example is one of a call: it says who it is, and what it is told is lost',
  withLeakCheck(async () => {
    let ctx: CallContext | undefined;
    const task = defineTask({
      name: 'image.resize',
      version: 4,
      queue: (input: number) => `q${input}`,
      run: async (given, input) => {
        ctx = given;
        given.heartbeat('half');
        given.log('a', 1);
        given.progress({ done: 1 });
        assert.equal(given.err, undefined);
        assert.equal(given.signal.aborted, false);
        const first = await given.step('load', () => [new Date(0)]);
        assert.deepEqual(first, ['1970-01-01T00:00:00.000Z'], 'a step goes through JSON');
        const again = await given.step('load', () => assert.fail('a step ran twice'));
        assert.deepEqual(again, first);
        return input;
      },
      examples: [{ input: 7, output: 7 }],
    });
    assert.equal(await testExamples(new TaskRegistry([task])), 1);
    const { id, task: name, version, attempt, queue, parentId, principals, headers, stopping, deadline } = ctx!;
    assert.deepEqual(
      { id, name, version, attempt, queue, parentId, principals, headers, deadline },
      {
        id: 'example',
        name: 'image.resize',
        version: 4,
        attempt: 1,
        queue: 'q7',
        parentId: undefined,
        principals: [],
        headers: {},
        deadline: undefined,
      },
    );
    assert.equal(stopping.aborted, false);
    assert.equal(ctx!.value('key'), undefined);
    await ctx!.done();
    assert.ok(ctx!.signal.aborted && ctx!.err === ctx!.cause, 'its context has ended with it');
  }),
);

test(
  'what is deferred runs at the end, the last first, and its failure is one of the example',
  withLeakCheck(async () => {
    const order: string[] = [];
    const task = defineTask({
      name: 'a',
      run: (ctx) => {
        ctx.defer(() => order.push('first'));
        ctx.defer(async () => order.push('second'));
        order.push('run');
        return 1;
      },
      examples: [{ input: 1, output: 1 }],
    });
    assert.deepEqual(await failuresOf(task), []);
    assert.deepEqual(order, ['run', 'second', 'first']);

    const failing = (fails: boolean) =>
      defineTask({
        name: 'a',
        run: (ctx): number => {
          ctx.defer(() => order.push('cleaned up'));
          ctx.defer(() => Promise.reject(new Error('could not clean up')));
          if (fails) throw new Error('out of order');
          return 1;
        },
        examples: [{ input: 1, output: 1 }],
      });
    assert.deepEqual(await failuresOf(failing(false)), ['a (version 1), example 1: could not clean up']);
    assert.deepEqual(await failuresOf(failing(true)), ['a (version 1), example 1: out of order']);
    assert.deepEqual(order.slice(3), ['cleaned up', 'cleaned up']);
  }),
);

test(
  'an example has no dispatcher to submit to',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'a',
      run: async (ctx) => void (await ctx.submit('other', 1)),
      examples: [{ input: 1, output: undefined }],
    });
    assert.deepEqual(await failuresOf(task), [
      'a (version 1), example 1: an example runs alone: it has no dispatcher to submit to',
    ]);
  }),
);

test(
  'tasks with a resource are given what stands in for it',
  withLeakCheck(async () => {
    const query = defineTask({
      name: 'query',
      manager: 'databases',
      run: (_ctx, input: string, db: { readonly name: string } | undefined) => `${input} on ${db?.name}`,
      examples: [{ input: 'a', output: 'a on fake' }],
    });
    const plain = defineTask({
      name: 'plain',
      manager: 'toString',
      run: (_ctx, _input, resource) => typeof resource,
      examples: [{ input: 1, output: 'undefined' }],
    });
    const registry = new TaskRegistry([query, plain]);
    assert.equal(await testExamples(registry, { resources: { databases: { name: 'fake' } } }), 2);
    await assert.rejects(testExamples(registry), /query .* output is 'a on undefined'/);
  }),
);

test(
  'what stands in for a task is what its examples run',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([echo({ input: 1, output: 1 })]);
    using _ = registry.replace('echo', () => 2);
    await assert.rejects(testExamples(registry), /output is 2, but the example says 1$/);
  }),
);

test(
  'wrong options are refused',
  withLeakCheck(async () => {
    await assert.rejects(testExamples(new TaskRegistry(), { resource: {} } as never), {
      name: 'TypeError',
      message: 'resource is not an option of testExamples; those are resources',
    });
    await assert.rejects(testExamples(new TaskRegistry(), { resources: 5 } as never), {
      name: 'TypeError',
      message: 'resources must be an object, but is 5',
    });
  }),
);
