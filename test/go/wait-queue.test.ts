import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CanceledError } from '../../src/go/index.ts';
import { CancelScope } from '../../src/go/scope.ts';
import { Waiter, WaitQueue } from '../../src/go/wait-queue.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { range } from './waiting.ts';

class Named extends Waiter {
  readonly name: number;
  readonly told: unknown[] = [];

  constructor(name: number) {
    super();
    this.name = name;
  }

  override refuse(error: unknown): void {
    this.told.push(error);
  }
}

/** Notes when it is told that somebody has come, that all have gone, and that a signal took one. */
class Watched extends WaitQueue<Named> {
  readonly notes: string[] = [];

  protected override watch(): void {
    this.notes.push('watch');
  }

  protected override unwatch(): void {
    this.notes.push('unwatch');
  }

  protected override left(): void {
    this.notes.push('left');
  }
}

function drain(queue: WaitQueue<Named>): number[] {
  const names: number[] = [];
  for (let waiter = queue.shift(); waiter !== undefined; waiter = queue.shift()) names.push(waiter.name);
  return names;
}

function queueOf(names: number[]): [WaitQueue<Named>, Named[]] {
  const queue = new WaitQueue<Named>();
  const waiters = names.map((name) => new Named(name));
  for (const waiter of waiters) queue.push(waiter);
  return [queue, waiters];
}

describe('a queue of those who wait', () => {
  test(
    'gives them back in the order in which they came',
    withLeakCheck(() => {
      const [queue] = queueOf(range(0, 5));
      assert.equal(queue.first?.name, 0);
      assert.deepEqual(drain(queue), range(0, 5));
      assert.equal(queue.first, undefined);
      assert.equal(queue.shift(), undefined);
    }),
  );

  for (const gone of [[0], [4], [2], [0, 1], [3, 4], [1, 3], [0, 2, 4], [4, 3, 2, 1, 0]]) {
    test(
      `lets ${gone} of five go, each once, and keeps the others in order`,
      withLeakCheck(() => {
        const [queue, waiters] = queueOf(range(0, 5));
        for (const i of gone) assert.equal(queue.remove(waiters[i]!), true);
        for (const i of gone) assert.equal(queue.remove(waiters[i]!), false);
        const late = new Named(9);
        queue.push(late);
        assert.deepEqual(drain(queue), [...range(0, 5).filter((i) => !gone.includes(i)), 9]);
        assert.equal(queue.remove(late), false);
      }),
    );
  }

  test(
    'one whose scope is canceled leaves at once, and is told why; one that was taken out hears nothing',
    withLeakCheck(() => {
      const queue = new WaitQueue<Named>();
      const scope = new CancelScope();
      const [first, second, third] = [new Named(1), new Named(2), new Named(3)];
      for (const waiter of [first, second, third]) queue.push(waiter, scope);
      assert.equal(queue.shift(), first);
      queue.remove(second);
      scope.cancel(new CanceledError(), 'why');
      assert.deepEqual([first.told, second.told, third.told], [[], [], ['why']]);
      assert.equal(queue.first, undefined);
    }),
  );

  test(
    'says when the first has come, when none is left, and when a signal took one',
    withLeakCheck(() => {
      const queue = new Watched();
      const scope = new CancelScope();
      queue.push(new Named(1));
      queue.push(new Named(2), scope);
      assert.deepEqual(queue.notes, ['watch']);
      queue.shift();
      assert.deepEqual(queue.notes, ['watch']);
      scope.cancel(new CanceledError());
      assert.deepEqual(queue.notes, ['watch', 'unwatch', 'left']);
      queue.push(new Named(3));
      queue.shift();
      assert.deepEqual(queue.notes.slice(3), ['watch', 'unwatch']);
    }),
  );

  test(
    '100,000 leave from the middle by signals of their own, each at the same cost',
    withLeakCheck(() => {
      const queue = new WaitQueue<Named>();
      const scopes = range(0, 100_000).map(() => new CancelScope());
      for (const [i, scope] of scopes.entries()) queue.push(new Named(i), scope);
      const error = new CanceledError();
      // All but each tenth, from the middle to both sides: in a line that is searched this would take minutes.
      for (const i of range(0, 100_000)) {
        const at = 50_000 + (i % 2 === 0 ? i / 2 : -(i + 1) / 2);
        if (at % 10 !== 0) scopes[at]!.cancel(error);
      }
      assert.deepEqual(
        drain(queue),
        range(0, 10_000).map((i) => i * 10),
      );
    }),
  );
});
