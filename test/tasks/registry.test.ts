import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { definitionOf } from '../../src/tasks/define-task.ts';
import { type AnyTask, type CallContext, defineTask, NotRegisteredError, TaskRegistry } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

function task(name: string, version = 1, run: () => unknown = () => `${name} ${version}`): AnyTask {
  return defineTask({ name, version, run });
}

function namesOf(registry: TaskRegistry): string[] {
  return registry.list().map(({ name, version }) => `${name}@${version}`);
}

/** What a task gives when it is run, as its registry has it now. */
function runOf(registry: TaskRegistry, name: string, version?: number): unknown {
  return definitionOf(registry.get(name, version)).run({} as CallContext, 'input', 'resource');
}

test(
  'tasks are listed by name and version, however they came',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([task('b', 10), task('b', 9)]).add(task('a')).add(task('b', 1)).add(task('B'));
    assert.deepEqual(namesOf(registry), ['B@1', 'a@1', 'b@1', 'b@9', 'b@10']);
    assert.deepEqual(namesOf(new TaskRegistry()), []);
  }),
);

test(
  'without a version one gets the newest',
  withLeakCheck(async () => {
    const newest = task('a', 10);
    const registry = new TaskRegistry([newest, task('a', 9), task('a', 2)]);
    assert.equal(registry.get('a'), newest);
    assert.equal(registry.get('a', 9).version, 9);
    assert.equal(registry.has('a'), true);
    assert.equal(registry.has('a', 2), true);
    assert.equal(registry.has('a', 3), false);
    assert.equal(registry.has('b'), false);
  }),
);

test(
  'a name is taken once in each version, and the error says by what',
  withLeakCheck(async () => {
    const one = task('a', 2);
    const registry = new TaskRegistry([one, task('a', 1)]);
    assert.throws(() => registry.add(task('a', 2)), {
      name: 'TypeError',
      message: 'version 2 of the task a is the name of another task here: names are unique together with the version',
    });
    assert.throws(() => registry.add(one), {
      name: 'TypeError',
      message: 'version 2 of the task a has been registered already: names are unique together with the version',
    });
    assert.throws(() => new TaskRegistry([one, one]), TypeError);
    assert.equal(registry.get('a', 2), one);
  }),
);

test(
  'a group is added whole, or not at all',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([task('b')]);
    assert.throws(() => registry.use([task('a'), task('c'), task('b')]), TypeError);
    assert.throws(() => registry.use([task('a'), task('a', 2), {} as never]), TypeError);
    assert.deepEqual(namesOf(registry), ['b@1']);
    assert.equal(registry.has('a'), false);
    registry.use([task('a'), task('b', 2)]).use(new Set([task('c')]));
    assert.deepEqual(namesOf(registry), ['a@1', 'b@1', 'b@2', 'c@1']);
  }),
);

test(
  'a registry is a group as well, without what stands in for its tasks',
  withLeakCheck(async () => {
    const images = new TaskRegistry([task('resize'), task('crop')]);
    using _ = images.replace('crop', () => 'fake');
    const all = new TaskRegistry([task('mail')]).use(images);
    images.add(task('later'));
    assert.deepEqual(namesOf(all), ['crop@1', 'mail@1', 'resize@1']);
    assert.equal(runOf(all, 'crop'), 'crop 1');
    assert.equal(runOf(images, 'crop'), 'fake');
  }),
);

test(
  'what is no task is refused',
  withLeakCheck(async () => {
    const registry = new TaskRegistry();
    assert.throws(() => registry.add({ name: 'a', version: 1 }), {
      name: 'TypeError',
      message: /^task must be what defineTask has given, but is an instance of Object$/,
    });
    for (const group of [undefined, null, 5, task('a')]) {
      assert.throws(() => registry.use(group as never), { name: 'TypeError', message: /^tasks must be an iterable/ });
    }
    assert.throws(() => registry.get(5 as never), { name: 'TypeError', message: 'name must be a string, but is 5' });
  }),
);

test(
  'what is not registered is told with what is',
  withLeakCheck(async () => {
    const registry = new TaskRegistry();
    const messageOf = (fn: () => unknown): string => {
      let message = '';
      assert.throws(fn, (error: Error) => {
        assert.ok(error instanceof NotRegisteredError, String(error));
        assert.equal(error.code, 'ERR_NOT_REGISTERED');
        message = error.message;
        return true;
      });
      return message;
    };
    assert.equal(
      messageOf(() => registry.get('x')),
      'the task x is not registered here: there are no tasks',
    );
    registry.use([task('b', 2), task('b', 4), task('a')]);
    assert.equal(
      messageOf(() => registry.get('x')),
      'the task x is not registered here: there are a, b',
    );
    assert.equal(
      messageOf(() => registry.get('b', 3)),
      'version 3 of the task b is not registered here: its versions are 2, 4',
    );
    assert.equal(
      messageOf(() => registry.resolve('b', 3)),
      'version 3 of the task b is not registered here: its versions are 2, 4, and no newer one has a migrate',
    );
    assert.equal(
      messageOf(() => registry.resolve('x', 3)),
      'version 3 of the task x is not registered here: there are a, b',
    );
    assert.equal(
      messageOf(() => registry.replace('x', () => 1)),
      messageOf(() => registry.get('x')),
    );
    messageOf(() => registry.replace(task('x'), () => 1));
    for (let i = 10; i < 30; i += 1) registry.add(task(`t${i}`));
    assert.match(
      messageOf(() => registry.get('x')),
      /there are a, b, t10, .*, t27 and 2 more$/,
    );
    assert.ok(!messageOf(() => registry.get('x')).includes('t28'));
  }),
);

// ---- which version runs ----------------------------------------------------------------------------------------------

function migrating(version: number): AnyTask {
  return defineTask({ name: 'a', version, migrate: (input, from) => `${input} of ${from}`, run: () => version });
}

test(
  'a call is run by its own version if there is one, else by the newest that can migrate its input',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([migrating(3), migrating(4), task('a', 1), task('a', 5)]);
    const versionFor = (version: number) => registry.resolve('a', version).version;
    assert.equal(versionFor(1), 1);
    assert.equal(versionFor(2), 4);
    assert.equal(versionFor(3), 3);
    assert.equal(versionFor(5), 5);
  }),
);

test(
  'a call is never run by an older version than it was made for',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([migrating(3)]);
    assert.throws(() => registry.resolve('a', 4), NotRegisteredError);
    assert.equal(registry.resolve('a', 2).version, 3);
  }),
);

// ---- fakes -----------------------------------------------------------------------------------------------------------

test(
  'what stands in for a task is run in its place, with all its rules, until that is undone',
  withLeakCheck(async () => {
    const send = defineTask({
      name: 'mail.send',
      input: z.object({ to: z.string() }),
      retry: { attempts: 3 },
      queue: 'mail',
      run: (_ctx, { to }) => `sent to ${to}`,
    });
    const registry = new TaskRegistry([send]);
    const seen: unknown[] = [];
    const undo = registry.replace(send, (ctx, input, resource) => {
      seen.push(ctx, input, resource);
      return 'pretended';
    });
    assert.equal(runOf(registry, 'mail.send'), 'pretended');
    assert.deepEqual(seen, [{}, 'input', 'resource']);
    assert.equal(registry.resolve('mail.send', 1).run, definitionOf(registry.get('mail.send')).run);
    assert.deepEqual(registry.list(), [registry.get('mail.send')]);
    const { run: _, ...rules } = definitionOf(registry.get('mail.send'));
    const { run: __, ...own } = definitionOf(send);
    assert.deepEqual(rules, own);
    assert.throws(() => registry.add(send), TypeError);

    undo();
    assert.equal(registry.get('mail.send'), send);
    undo();
    assert.equal(registry.get('mail.send'), send);
  }),
);

test(
  'a name stands for all versions of it, a task for its own',
  withLeakCheck(async () => {
    const second = task('a', 2);
    const registry = new TaskRegistry([task('a', 1), second]);
    const runs = () => [runOf(registry, 'a', 1), runOf(registry, 'a', 2)];
    {
      using _ = registry.replace('a', () => 'fake');
      assert.deepEqual(runs(), ['fake', 'fake']);
    }
    {
      using _ = registry.replace(second, () => 'fake');
      assert.deepEqual(runs(), ['a 1', 'fake']);
    }
    assert.deepEqual(runs(), ['a 1', 'a 2']);
  }),
);

test(
  'of what stands in the last one counts, in whatever order they are undone',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([task('a')]);
    const undos = ['one', 'two', 'three'].map((name) => registry.replace('a', () => name));
    assert.equal(runOf(registry, 'a'), 'three');
    undos[1]!();
    assert.equal(runOf(registry, 'a'), 'three');
    undos[2]!();
    assert.equal(runOf(registry, 'a'), 'one');
    undos[0]!();
    assert.equal(runOf(registry, 'a'), 'a 1');
  }),
);

test(
  'of another task only the work is taken',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([task('a', 2)]);
    using _ = registry.replace('a', defineTask({ name: 'other', version: 7, timeoutMs: 5, run: () => 'theirs' }));
    assert.equal(runOf(registry, 'a'), 'theirs');
    const { name, version, timeoutMs } = definitionOf(registry.get('a'));
    assert.deepEqual([name, version, timeoutMs], ['a', 2, undefined]);
  }),
);

test(
  'only a function or a task can stand in',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([task('a')]);
    for (const fake of [undefined, null, 'a', {}]) {
      assert.throws(() => registry.replace('a', fake as never), {
        name: 'TypeError',
        message: /^fake must be what defineTask has given, but is /,
      });
    }
    assert.equal(runOf(registry, 'a'), 'a 1');
  }),
);
