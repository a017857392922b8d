import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { show } from '../../src/go/checks.ts';
import {
  background,
  CanceledError,
  Channel,
  type Context,
  ErrGroup,
  withCancelCause,
  withValue,
} from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Deferred, rejectionOf, stateOf, turn } from '../manager/support.ts';

const never = () => assert.fail('it must not run');

/** A function, as an assertion here would have the compiler take it that the error never comes. */
function live(ctx: Context): void {
  assert.equal(ctx.err, undefined);
}

/** Functions held open by hand, that note when they run. */
class Gates {
  readonly started: number[] = [];
  readonly #gates: Deferred[] = [];
  #alive = 0;
  most = 0;

  /** The next function, which ends when it is told to. */
  next(): () => Promise<void> {
    const gate = new Deferred();
    const index = this.#gates.push(gate) - 1;
    return async () => {
      this.started.push(index);
      this.most = Math.max(this.most, ++this.#alive);
      try {
        await gate.promise;
      } finally {
        this.#alive--;
      }
    };
  }

  open(index: number): void {
    this.#gates[index]!.resolve();
  }

  fail(index: number, error: unknown): void {
    this.#gates[index]!.reject(error);
  }

  openAll(): void {
    for (const gate of this.#gates) gate.resolve();
  }
}

// ---- errors -------------------------------------------------------------------------------------------------------------

test(
  'an unused group has nothing to wait for',
  withLeakCheck(async () => {
    await new ErrGroup().wait();
  }),
);

test(
  'wait rejects with the first error of those so far, and a later one never takes its place',
  withLeakCheck(async () => {
    const [one, two] = [new Error('one'), new Error('two')];
    for (const errors of [[], [undefined], [one], [one, undefined], [one, undefined, two], [undefined, two, one]]) {
      const group = new ErrGroup();
      let first: Error | undefined;
      for (const error of errors) {
        void group.go(async () => {
          if (error !== undefined) throw error;
        });
        first ??= error;
        const [outcome] = await Promise.allSettled([group.wait()]);
        assert.deepEqual(
          outcome,
          first === undefined ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: first },
        );
      }
    }
  }),
);

test(
  'the first error is the one thrown first, in whatever order the functions began',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const gates = new Gates();
    for (let i = 0; i < 3; i++) void group.go(gates.next());
    const waiting = group.wait();
    gates.fail(2, 'third');
    await turn();
    gates.fail(0, 'first');
    gates.open(1);
    assert.equal(await rejectionOf(waiting), 'third');
  }),
);

test(
  'wait joins all functions, also after a failure',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const gates = new Gates();
    void group.go(() => Promise.reject(new Error('boom')));
    void group.go(gates.next());
    const waiting = group.wait();
    waiting.catch(() => {});
    assert.equal(await stateOf(waiting), 'pending');
    gates.open(0);
    await assert.rejects(waiting, { message: 'boom' });
  }),
);

test(
  'a synchronous throw is an error like any other, whatever is thrown',
  withLeakCheck(async () => {
    for (const thrown of [new Error('boom'), 'boom', null, undefined]) {
      const [group, ctx] = ErrGroup.withContext(background());
      await group.go(() => {
        throw thrown;
      });
      assert.ok(ctx.err instanceof CanceledError);
      assert.equal(ctx.cause, thrown === undefined ? ctx.err : thrown);
      assert.deepEqual(await Promise.allSettled([group.wait()]), [{ status: 'rejected', reason: thrown }]);
    }
  }),
);

test(
  'what a function returns may be a thenable, a broken one too',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const settle = new Deferred();
    void group.go(() => ({ then: (resolve: () => void) => void settle.promise.then(resolve) }));
    const waiting = group.wait();
    assert.equal(await stateOf(waiting), 'pending');
    settle.resolve();
    await waiting;
    void group.go(() => ({
      get then(): never {
        throw new Error('broken');
      },
    }));
    await assert.rejects(group.wait(), { message: 'broken' });
  }),
);

test(
  'a promise with a method of its own is waited for as `await` does, past that',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const odd = Object.assign(Promise.resolve('value'), {
      then(): never {
        throw new Error('nobody is to call this');
      },
    });
    assert.deepEqual(await group.goAll([() => odd]), ['value']);
    await group.wait();
  }),
);

test(
  'an error that nobody waits for is no unhandled rejection',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(1);
    void group.go(() => Promise.reject(new Error('one')));
    void group.go(() => Promise.reject(new Error('two')));
    assert.equal(
      group.tryGo(() => Promise.reject(new Error('three'))),
      false,
    );
    for (let i = 0; i < 5; i++) await turn();
  }),
);

test(
  'several may wait, and all are told',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const gates = new Gates();
    void group.go(gates.next());
    const waits = [group.wait(), group.wait()];
    gates.fail(0, 'boom');
    assert.deepEqual(await Promise.allSettled([...waits, group.wait()]), [
      { status: 'rejected', reason: 'boom' },
      { status: 'rejected', reason: 'boom' },
      { status: 'rejected', reason: 'boom' },
    ]);
  }),
);

test(
  'a signal or context ends a wait with its reason, and nothing else',
  withLeakCheck(async () => {
    const [group, ctx] = ErrGroup.withContext(background());
    const gates = new Gates();
    void group.go(gates.next());
    const controller = new AbortController();
    const [other, cancel] = withCancelCause(background());
    const bySignal = group.wait({ signal: controller.signal });
    const byContext = group.wait({ signal: other });
    controller.abort('enough');
    assert.equal(await rejectionOf(bySignal), 'enough');
    cancel('no more');
    assert.equal(await rejectionOf(byContext), 'no more');
    live(ctx);
    gates.open(0);
    await group.wait();
  }),
);

// ---- context ------------------------------------------------------------------------------------------------------------

test(
  'functions get the context of the group, and background in a group without',
  withLeakCheck(async () => {
    const seen: Context[] = [];
    const plain = new ErrGroup();
    void plain.go((ctx) => seen.push(ctx));
    await plain.wait();
    assert.equal(seen[0], background());

    const key = Symbol('key');
    const [group, ctx] = ErrGroup.withContext(withValue(background(), key, 7));
    group.setLimit(1);
    assert.ok(group.tryGo((given) => seen.push(given)));
    void group.go((given) => seen.push(given));
    await group.goAll([(given) => seen.push(given)]);
    assert.deepEqual(
      seen.slice(1).map((given) => given === ctx),
      [true, true, true],
    );
    assert.equal(ctx.value(key), 7);
    await group.wait();
  }),
);

test(
  'the first error cancels the context in the very moment it comes, and is its cause',
  withLeakCheck(async () => {
    const [group, ctx] = ErrGroup.withContext(background());
    const boom = new Error('boom');
    const gates = new Gates();
    let seen: unknown;
    void group.go(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      seen = signal.reason;
      throw new Error('canceled, so that is not the first');
    });
    void group.go(gates.next());
    live(ctx);
    gates.fail(0, boom);
    await ctx.done();
    assert.equal(ctx.cause, boom);
    assert.ok(ctx.err instanceof CanceledError);
    assert.equal(await rejectionOf(group.wait()), boom);
    assert.equal(seen, boom);
    assert.equal(ctx.cause, boom);
  }),
);

test(
  'the end of a wait cancels the context, of one that had nothing to wait for too',
  withLeakCheck(async () => {
    for (const functions of [0, 2]) {
      const [group, ctx] = ErrGroup.withContext(background());
      for (let i = 0; i < functions; i++) await group.go(() => turn());
      live(ctx);
      await group.wait();
      assert.ok(ctx.err instanceof CanceledError);
      assert.equal(ctx.cause, ctx.err);
    }
  }),
);

test(
  'one who waits under the context of the group itself is not told of its end in place of the group’s',
  withLeakCheck(async () => {
    const [group, ctx] = ErrGroup.withContext(background());
    void group.go(() => turn());
    await group.wait({ signal: ctx });
  }),
);

test(
  'the end of the parent is the end of the context; a signal will do for a parent',
  withLeakCheck(async () => {
    const controller = new AbortController();
    const [group] = ErrGroup.withContext(controller.signal);
    await group.go(async (ctx) => {
      await ctx.done();
      throw ctx.cause;
    });
    controller.abort('over');
    assert.equal(await rejectionOf(group.wait()), 'over');
    assert.throws(() => ErrGroup.withContext('parent' as never), { name: 'TypeError', message: /^parent must be/ });
  }),
);

test(
  'functions still run when the context is over, as in Go: they are told by it',
  withLeakCheck(async () => {
    const [group] = ErrGroup.withContext(background());
    group.setLimit(1);
    const boom = new Error('boom');
    const causes: unknown[] = [];
    void group.go(() => Promise.reject(boom));
    void group.go((ctx) => causes.push(ctx.cause));
    await rejectionOf(group.wait());
    void group.go((ctx) => causes.push(ctx.cause));
    assert.equal(await rejectionOf(group.wait()), boom);
    assert.deepEqual(causes, [boom, boom]);
  }),
);

// ---- limit --------------------------------------------------------------------------------------------------------------

test(
  'go runs the function at once when there is room, and resolves when it has begun',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const gates = new Gates();
    const began = group.go(gates.next());
    assert.deepEqual(gates.started, [0]);
    await began;
    gates.open(0);
    await group.wait();
  }),
);

test(
  'at the limit, go waits until a function has returned; those that wait go in their order',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(2);
    const gates = new Gates();
    const began: number[] = [];
    for (let i = 0; i < 5; i++) void group.go(gates.next()).then(() => began.push(i));
    await turn();
    assert.deepEqual(gates.started, [0, 1]);
    assert.deepEqual(began, [0, 1]);
    gates.open(1);
    await turn();
    assert.deepEqual(gates.started, [0, 1, 2]);
    gates.open(0);
    gates.open(2);
    await turn();
    assert.deepEqual(gates.started, [0, 1, 2, 3, 4]);
    assert.deepEqual(began, [0, 1, 2, 3, 4]);
    gates.openAll();
    await group.wait();
    assert.equal(gates.most, 2);
  }),
);

test(
  'one that comes when those before it are about to begin begins after them',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(2);
    const order: string[] = [];
    const gate = new Deferred();
    for (let i = 0; i < 2; i++) void group.go(() => gate.promise);
    const held = new Deferred();
    void group.go(() => {
      order.push('waited');
      return held.promise;
    });
    // The two end in one turn: the first lets in who waits, the second leaves a place. A microtask later it has begun.
    const late = gate.promise.then(() => {
      assert.equal(group.tryGo(never), false);
      return group.go(() => order.push('late'));
    });
    gate.resolve();
    await late;
    assert.deepEqual(order, ['waited', 'late']);
    held.resolve();
    await group.wait();
  }),
);

test(
  'wait joins those that have not begun, though nobody awaits their go',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(1);
    let ran = 0;
    for (let i = 0; i < 10; i++) {
      void group.go(async () => {
        await turn();
        ran++;
      });
    }
    await group.wait();
    assert.equal(ran, 10);
  }),
);

test(
  'a signal ends the wait at the limit: the function never runs, and it is no error of the group',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(1);
    const gates = new Gates();
    void group.go(gates.next());
    const controller = new AbortController();
    const left = group.go(never, { signal: controller.signal });
    const behind = group.go(gates.next());
    controller.abort('enough');
    assert.equal(await rejectionOf(left), 'enough');
    assert.equal(await rejectionOf(group.go(never, { signal: controller.signal })), 'enough');
    assert.deepEqual(gates.started, [0]);
    gates.open(0);
    await behind;
    gates.open(1);
    await group.wait();
  }),
);

test(
  'one whose signal fires as it is let in does not run either, and its place goes to the next',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(1);
    const first = new Deferred();
    const controller = new AbortController();
    void group.go(() => first.promise);
    const left = group.go(never, { signal: controller.signal });
    let ran = false;
    void group.go(() => {
      ran = true;
    });
    // After the end of the first, which lets it in, and before the microtask in which it would begin.
    void first.promise.then(() => controller.abort('enough'));
    first.resolve();
    assert.equal(await rejectionOf(left), 'enough');
    await group.wait();
    assert.equal(ran, true);
  }),
);

test(
  'the signal has no say any more once the function runs, and no listener is left on it',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(1);
    const gates = new Gates();
    const controller = new AbortController();
    const { signal } = controller;
    await group.go(gates.next(), { signal });
    const second = group.go(gates.next(), { signal });
    gates.open(0);
    await second;
    controller.abort();
    gates.open(1);
    await group.wait();
  }),
);

test(
  'tryGo runs the function now or says no: at the limit, and when somebody waits',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(3);
    const gates = new Gates();
    for (let i = 0; i < 3; i++) assert.equal(group.tryGo(gates.next()), true);
    assert.deepEqual(gates.started, [0, 1, 2]);
    assert.equal(group.tryGo(never), false);
    const waiting = group.go(gates.next());
    assert.equal(group.tryGo(never), false);
    gates.open(0);
    await waiting;
    assert.equal(group.tryGo(never), false);
    gates.openAll();
    await group.wait();
    assert.equal(
      group.tryGo(() => {}),
      true,
    );
    await group.wait();
    assert.equal(gates.most, 3);
  }),
);

test(
  'without a limit everything runs at once',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const gates = new Gates();
    for (let i = 0; i < 50; i++) assert.equal(group.tryGo(gates.next()), true);
    for (let i = 0; i < 50; i++) void group.go(gates.next());
    assert.equal(gates.most, 100);
    gates.openAll();
    await group.wait();
    group.setLimit(1);
    assert.equal(group.tryGo(gates.next()), true);
    assert.equal(group.tryGo(never), false);
    gates.openAll();
    await group.wait();
    group.setLimit(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 10; i++) assert.equal(group.tryGo(gates.next()), true);
    gates.openAll();
    await group.wait();
  }),
);

test(
  'at a limit of 0 nothing begins, until there is another',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(0);
    assert.equal(group.tryGo(never), false);
    const gates = new Gates();
    const controller = new AbortController();
    const left = group.go(never, { signal: controller.signal });
    const waiting = group.wait();
    assert.equal(await stateOf(waiting), 'pending');
    controller.abort('enough');
    assert.equal(await rejectionOf(left), 'enough');
    await waiting;

    for (let i = 0; i < 3; i++) void group.go(gates.next());
    assert.deepEqual(gates.started, []);
    group.setLimit(2);
    await turn();
    assert.deepEqual(gates.started, [0, 1]);
    gates.openAll();
    await group.wait();
  }),
);

test(
  'the limit can’t be set while functions run, nor to what is no limit',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    for (const wrong of [-1, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, '3', undefined]) {
      assert.throws(() => group.setLimit(wrong as number), {
        name: 'RangeError',
        message: `limit must be a whole number from 0, or Infinity, got ${show(wrong)}`,
      });
    }
    const gates = new Gates();
    void group.go(gates.next());
    void group.go(gates.next());
    assert.throws(() => group.setLimit(4), {
      name: 'Error',
      message: "the limit can't be set while functions run, and 2 do",
    });
    gates.openAll();
    await group.wait();
    group.setLimit(4);
  }),
);

test(
  'functions may begin others, and wait for them to begin if the limit allows',
  withLeakCheck(async () => {
    for (const limit of [1, 3, Number.POSITIVE_INFINITY]) {
      const group = new ErrGroup();
      group.setLimit(limit);
      let visited = 0;
      const visit = async (depth: number): Promise<void> => {
        visited++;
        if (depth === 0) return;
        for (let i = 0; i < 2; i++) {
          const began = group.go(() => visit(depth - 1));
          if (limit === Number.POSITIVE_INFINITY) await began;
        }
      };
      void group.go(() => visit(5));
      await group.wait();
      assert.equal(visited, 63);
    }
  }),
);

test(
  'each function runs in the async context of its own go',
  withLeakCheck(async () => {
    const store = new AsyncLocalStorage<number>();
    const group = new ErrGroup();
    group.setLimit(1);
    const seen: (number | undefined)[] = [];
    for (let i = 0; i < 4; i++) {
      store.run(i, () => {
        void group.go(async () => {
          await turn();
          seen.push(store.getStore());
        });
      });
    }
    await store.run(99, () => group.wait());
    assert.deepEqual(seen, [0, 1, 2, 3]);
  }),
);

test(
  'what is no function is refused, and nothing is begun',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const wrong = { name: 'TypeError', message: 'fn must be a function, got 7' };
    await assert.rejects(group.go(7 as never), wrong);
    assert.throws(() => group.tryGo(7 as never), wrong);
    await assert.rejects(group.go(never, { signal: 7 as never }), { name: 'TypeError' });
    await assert.rejects(group.wait(7 as never), { name: 'TypeError' });
    await assert.rejects(group.goAll([never, 7 as never]), {
      name: 'TypeError',
      message: 'fns[1] must be a function, got 7',
    });
    await assert.rejects(group.goAll(7 as never), { name: 'TypeError', message: /^fns must be an array/ });
    await group.wait();
  }),
);

// ---- goAll --------------------------------------------------------------------------------------------------------------

test(
  'goAll gives all values in order, in whatever order they come',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    const [slow, slower] = [new Deferred<string>(), new Deferred<number>()];
    const all = group.goAll([() => slower.promise, () => true, () => slow.promise]);
    slow.resolve('slow');
    await turn();
    slower.resolve(7);
    assert.deepEqual(await all, [7, true, 'slow']);
    assert.deepEqual(await group.goAll([]), []);
    await group.wait();
  }),
);

test(
  'goAll keeps to the limit, and its place in the order',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    group.setLimit(2);
    const gates = new Gates();
    void group.go(gates.next());
    const all = group.goAll([gates.next(), gates.next(), gates.next()]);
    void group.go(gates.next());
    assert.deepEqual(gates.started, [0, 1]);
    gates.openAll();
    await group.wait();
    await all;
    assert.deepEqual(gates.started, [0, 1, 2, 3, 4]);
    assert.equal(gates.most, 2);
  }),
);

test(
  'goAll rejects with the first error of its functions when all of them have returned; wait tells it as well',
  withLeakCheck(async () => {
    const [group, ctx] = ErrGroup.withContext(background());
    const gates = new Gates();
    const all = group.goAll([gates.next(), gates.next(), gates.next()]);
    all.catch(() => {});
    gates.fail(1, 'second');
    await turn();
    assert.equal(ctx.cause, 'second');
    gates.fail(0, 'first');
    assert.equal(await stateOf(all), 'pending');
    gates.open(2);
    assert.equal(await rejectionOf(all), 'second');
    assert.equal(await rejectionOf(group.wait()), 'second');
  }),
);

test(
  'goAll is not concerned with the errors of other functions of the group',
  withLeakCheck(async () => {
    const group = new ErrGroup();
    void group.go(() => Promise.reject(new Error('other')));
    assert.deepEqual(await group.goAll([() => 1, () => turn().then(() => 2)]), [1, 2]);
    await assert.rejects(group.goAll([() => Promise.reject(new Error('own'))]), { message: 'own' });
    await assert.rejects(group.wait(), { message: 'other' });
  }),
);

// ---- await using --------------------------------------------------------------------------------------------------------

test(
  '`await using` joins at the end of the block, and throws the first error',
  withLeakCheck(async () => {
    const gate = new Deferred();
    let ctx!: Context;
    const block = (async () => {
      const [owned, its] = ErrGroup.withContext(background());
      await using group = owned;
      ctx = its;
      void group.go(() => gate.promise);
    })();
    assert.equal(await stateOf(block), 'pending');
    gate.resolve();
    await block;
    assert.ok(ctx.err instanceof CanceledError);

    const failing = async () => {
      await using group = new ErrGroup();
      void group.go(() => Promise.reject(new Error('boom')));
    };
    await assert.rejects(failing(), { message: 'boom' });
  }),
);

test(
  '`await using` throws no error a second time that wait or goAll have told',
  withLeakCheck(async () => {
    const told: unknown[] = [];
    await (async () => {
      await using group = new ErrGroup();
      void group.go(() => Promise.reject('by wait'));
      told.push(await rejectionOf(group.wait()));
      void group.go(() => Promise.reject('a second error'));
    })();
    await assert.rejects(
      (async () => {
        await using group = new ErrGroup();
        await group.goAll([() => Promise.reject(new Error('by goAll'))]);
      })(),
      { message: 'by goAll' },
    );
    assert.deepEqual(told, ['by wait']);
  }),
);

test(
  '`await using` throws an error that came after a wait that told of none, and one that another than goAll told',
  withLeakCheck(async () => {
    await assert.rejects(
      (async () => {
        await using group = new ErrGroup();
        await group.wait();
        void group.go(() => Promise.reject(new Error('after')));
      })(),
      { message: 'after' },
    );
    await assert.rejects(
      (async () => {
        await using group = new ErrGroup();
        void group.go(() => Promise.reject(new Error('first')));
        assert.equal(await rejectionOf(group.goAll([() => turn().then(() => Promise.reject('second'))])), 'second');
      })(),
      { message: 'first' },
    );
  }),
);

// ---- as in Go's examples ------------------------------------------------------------------------------------------------

test(
  'searches in parallel give their results in order, or one error',
  withLeakCheck(async () => {
    const search = (kind: string) => async (ctx: Context, query: string) => {
      await turn();
      if (ctx.err !== undefined) throw ctx.cause;
      return `${kind} result for ${query}`;
    };
    const google = async (query: string) => {
      const [group] = ErrGroup.withContext(background());
      const searches = ['web', 'image', 'video'].map(search);
      return group.goAll(searches.map((run) => (ctx: Context) => run(ctx, query)));
    };
    assert.deepEqual(await google('golang'), [
      'web result for golang',
      'image result for golang',
      'video result for golang',
    ]);
  }),
);

test(
  'a pipeline of groups over channels ends whole, and by its first error with nothing left waiting',
  withLeakCheck(async () => {
    const sums = async (failAt: number) => {
      const [group] = ErrGroup.withContext(background());
      const paths = new Channel<number>();
      const results = new Channel<number>();
      await group.go(async (ctx) => {
        try {
          for (let i = 0; i < 20; i++) await paths.send(i, { signal: ctx });
        } finally {
          paths.close();
        }
      });
      const [digesters] = ErrGroup.withContext(background());
      for (let i = 0; i < 4; i++) {
        await group.go((ctx) =>
          digesters.goAll([
            async () => {
              for await (const path of paths.values({ signal: ctx })) {
                if (path === failAt) throw new Error(`cannot read ${path}`);
                await results.send(path * path, { signal: ctx });
              }
            },
          ]),
        );
      }
      const closing = group.wait().finally(() => results.close());
      closing.catch(() => {});
      let sum = 0;
      for await (const square of results) sum += square;
      await closing;
      await Promise.allSettled([digesters.wait()]);
      return sum;
    };
    assert.equal(await sums(-1), 2470);
    await assert.rejects(sums(7), { message: 'cannot read 7' });
  }),
);
