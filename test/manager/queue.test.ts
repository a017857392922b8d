import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeyUse, type Lane, TaskQueue } from '../../src/manager/queue.ts';
import { Task } from '../../src/manager/task.ts';

let stamp = 0;

/** A task that is called `name`, of a key if one is given. */
function task(name: string, key?: string, queuedAt = ++stamp): Task {
  const made = new Task(name, queuedAt);
  if (key !== undefined) made.rare().key = key;
  return made;
}

function nameOf(taken: Task | undefined): string | undefined {
  return taken?.fn as string | undefined;
}

/** Takes all there is, without ending any of them. */
function drain(queue: TaskQueue): string[] {
  const names: string[] = [];
  for (let taken = queue.take(); taken !== undefined; taken = queue.take()) names.push(taken.fn as string);
  return names;
}

function use(taken: Task): KeyUse {
  return (taken.home as Lane).use!;
}

test('what has one priority comes out first in, first out', () => {
  const queue = new TaskQueue();
  for (const name of ['a', 'b', 'c']) queue.push(task(name), 0);
  assert.deepEqual(drain(queue), ['a', 'b', 'c']);
  assert.equal(queue.size, 0);
});

test('higher priorities come first, negative and fractional ones in their places', () => {
  const queue = new TaskQueue();
  for (const priority of [0, -1, 5, 0.5, 100, -0.5]) queue.push(task(String(priority)), priority);
  assert.deepEqual(drain(queue), ['100', '5', '0.5', '0', '-0.5', '-1']);
});

test('size counts all, prioritySize those above 0', () => {
  const queue = new TaskQueue();
  const low = task('low');
  const high = task('high');
  queue.push(low, -3);
  queue.push(task('zero'), 0);
  queue.push(high, 2);
  assert.deepEqual([queue.size, queue.prioritySize], [3, 1]);
  queue.remove(high);
  assert.deepEqual([queue.size, queue.prioritySize], [2, 0]);
});

test('any task can be taken out, and the others keep their order', () => {
  const queue = new TaskQueue();
  const tasks = ['a', 'b', 'c', 'd', 'e'].map((name) => task(name));
  for (const each of tasks) queue.push(each, 0);
  for (const index of [0, 2, 4]) queue.remove(tasks[index]!);
  assert.deepEqual(drain(queue), ['b', 'd']);
});

test('peek tells who is next and takes nobody', () => {
  const queue = new TaskQueue();
  assert.equal(queue.peek(), undefined);
  queue.push(task('low'), 0);
  queue.push(task('high'), 1);
  assert.equal(nameOf(queue.peek()), 'high');
  assert.equal(queue.size, 2);
  assert.equal(nameOf(queue.take()), 'high');
});

test('keys of a level take turns, and each keeps its order', () => {
  const queue = new TaskQueue();
  for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2']) queue.push(task(name, name[0]), 0);
  assert.deepEqual(drain(queue), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
});

test('tasks without a key take their turn like those of one key', () => {
  const queue = new TaskQueue();
  for (const name of ['a1', 'a2', 'a3']) queue.push(task(name, 'a'), 0);
  for (const name of ['-1', '-2']) queue.push(task(name), 0);
  assert.deepEqual(drain(queue), ['a1', '-1', 'a2', '-2', 'a3']);
});

test('the turn of a key stands in its own level only', () => {
  const queue = new TaskQueue();
  for (const name of ['a1', 'a2', 'b1']) queue.push(task(name, name[0]), 1);
  for (const name of ['a3', 'a4', 'b2']) queue.push(task(name, name[0]), 0);
  assert.deepEqual(drain(queue), ['a1', 'b1', 'a2', 'a3', 'b2', 'a4']);
});

test('a key that has had its turn and comes back goes to the end of the ring', () => {
  const queue = new TaskQueue();
  queue.push(task('a1', 'a'), 0);
  queue.push(task('b1', 'b'), 0);
  queue.push(task('b2', 'b'), 0);
  assert.equal(nameOf(queue.take()), 'a1');
  queue.push(task('a2', 'a'), 0);
  assert.deepEqual(drain(queue), ['b1', 'a2', 'b2']);
});

test('what runs again goes before all that never ran, in the order of submission', () => {
  const queue = new TaskQueue();
  const [first, second] = [task('first'), task('second')];
  for (const each of [first, second, task('third')]) queue.push(each, 0);
  assert.deepEqual([nameOf(queue.take()), nameOf(queue.take())], ['first', 'second']);
  second.rare();
  first.rare();
  queue.pushAgain(second, 0);
  queue.pushAgain(first, 0);
  assert.deepEqual(drain(queue), ['first', 'second', 'third']);
});

test('what runs again can be taken out as well', () => {
  const queue = new TaskQueue();
  const again = task('again');
  again.rare();
  queue.pushAgain(again, 0);
  queue.push(task('other'), 0);
  queue.remove(again);
  assert.deepEqual(drain(queue), ['other']);
});

test('with ageing, a task that waits rises a level per agingMs', () => {
  const queue = new TaskQueue({ agingMs: 10 });
  queue.push(task('old and low', undefined, 100), 0);
  queue.push(task('younger by 9, one higher', undefined, 109), 1);
  queue.push(task('younger by 11, one higher', undefined, 111), 1);
  queue.push(task('younger by 30, two higher', undefined, 130), 2);
  assert.deepEqual(drain(queue), [
    'younger by 9, one higher',
    'old and low',
    'younger by 11, one higher',
    'younger by 30, two higher',
  ]);
});

test('with ageing, of equal ranks the higher priority goes first', () => {
  const queue = new TaskQueue({ agingMs: 10 });
  queue.push(task('low', undefined, 100), 0);
  queue.push(task('high', undefined, 110), 1);
  assert.deepEqual(drain(queue), ['high', 'low']);
});

test('with ageing, a level is ranked anew when its head leaves', () => {
  const queue = new TaskQueue({ agingMs: 10 });
  const head = task('old', undefined, 0);
  queue.push(head, 0);
  queue.push(task('young', undefined, 200), 0);
  queue.push(task('high', undefined, 100), 1);
  queue.remove(head);
  assert.deepEqual(drain(queue), ['high', 'young']);
});

test('a key at its limit is passed over until one of its tasks has ended', () => {
  const queue = new TaskQueue({ concurrencyPerKey: 1 });
  for (const name of ['a1', 'a2', 'b1']) queue.push(task(name, name[0]), 0);
  const a1 = queue.take()!;
  assert.equal(a1.fn, 'a1');
  const b1 = queue.take()!;
  assert.equal(b1.fn, 'b1');
  assert.equal(queue.take(), undefined);
  assert.equal(queue.size, 1);
  queue.release(use(b1));
  assert.equal(queue.take(), undefined);
  queue.release(use(a1));
  assert.equal(nameOf(queue.take()), 'a2');
});

test('a key at its limit in one level is so in all of them', () => {
  const queue = new TaskQueue({ concurrencyPerKey: 1 });
  queue.push(task('a low', 'a'), 0);
  queue.push(task('a high', 'a'), 9);
  queue.push(task('free', undefined), -9);
  const high = queue.take()!;
  assert.equal(high.fn, 'a high');
  assert.equal(nameOf(queue.take()), 'free');
  assert.equal(queue.take(), undefined);
  queue.release(use(high));
  assert.equal(nameOf(queue.take()), 'a low');
});

test('of the levels of a key at its limit, the highest comes back first', () => {
  const queue = new TaskQueue({ concurrencyPerKey: 1 });
  for (const name of ['running', 'low', 'high']) queue.push(task(name, 'a'), name === 'high' ? 1 : 0);
  // The turn decides, not the order of parking: 'high' is taken first, then 'running', then 'low'.
  const first = queue.take()!;
  assert.equal(first.fn, 'high');
  assert.equal(queue.take(), undefined);
  queue.push(task('highest', 'a'), 2);
  assert.equal(queue.take(), undefined);
  queue.release(use(first));
  const second = queue.take()!;
  assert.equal(second.fn, 'highest');
  queue.release(use(second));
  const third = queue.take()!;
  assert.equal(third.fn, 'running');
  queue.release(use(third));
  assert.equal(nameOf(queue.take()), 'low');
});

test('a key whose waiting head is taken out gives its place to its next level', () => {
  const queue = new TaskQueue({ concurrencyPerKey: 1 });
  queue.push(task('running', 'a'), 9);
  const running = queue.take()!;
  const high = task('high', 'a');
  queue.push(high, 1);
  queue.push(task('low', 'a'), 0);
  assert.equal(queue.take(), undefined); // both levels have been found at the limit
  queue.release(use(running));
  queue.remove(high);
  assert.equal(nameOf(queue.take()), 'low');
});

test('iteration tells all tasks, level by level, with those that run again first', () => {
  const queue = new TaskQueue();
  queue.push(task('low'), 0);
  const again = task('again', undefined, 0.5);
  again.rare();
  queue.push(task('high 1'), 1);
  queue.push(task('high 2', 'k'), 1);
  queue.pushAgain(again, 0);
  assert.deepEqual([...queue].map(nameOf), ['high 1', 'high 2', 'again', 'low']);
});

/** Programs of random operations against the simplest of models: a sorted array. */
test('a thousand random operations agree with a sorted array', () => {
  let state = 7;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  const queue = new TaskQueue();
  const model: { task: Task; priority: number }[] = [];
  for (let i = 0; i < 5_000; i++) {
    const choice = random(10);
    if (choice < 5 || model.length === 0) {
      const entry = { task: task(String(i)), priority: random(7) - 3 };
      queue.push(entry.task, entry.priority);
      model.push(entry);
    } else if (choice < 8) {
      const best = model.reduce((a, b) => (b.priority > a.priority ? b : a));
      model.splice(model.indexOf(best), 1);
      assert.equal(queue.take(), best.task);
    } else {
      const [entry] = model.splice(random(model.length), 1);
      queue.remove(entry!.task);
    }
    assert.equal(queue.size, model.length);
    assert.equal(queue.prioritySize, model.filter(({ priority }) => priority > 0).length);
  }
});
