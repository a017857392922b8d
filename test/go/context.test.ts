import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import type { Clock } from '../../src/go/clock.ts';
import * as go from '../../src/go/index.ts';
import {
  afterFunc,
  background,
  CanceledError,
  type Context,
  DeadlineExceededError,
  fromSignal,
  isContext,
  sleep,
  withCancel,
  withCancelCause,
  withClock,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from '../../src/go/index.ts';
import { CancelScope, scopeOf } from '../../src/go/scope.ts';
import { VirtualClock } from '../../src/testing/index.ts';
import { ROOT } from '../programs.ts';

const HOUR = 3_600_000;
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

/** A function, as an assertion here would have the compiler take it that the error never comes. */
function live(ctx: Pick<Context, 'err'>): void {
  assert.equal(ctx.err, undefined);
}

/** Contexts' timers let the process go, so whoever waits for one has to hold it. */
async function held<T>(promise: Promise<T>): Promise<T> {
  const hold = setInterval(() => {}, HOUR);
  return promise.finally(() => clearInterval(hold));
}

/** How many AbortControllers `run` makes. */
function controllersMadeBy(run: () => void): number {
  const Real = globalThis.AbortController;
  let made = 0;
  globalThis.AbortController = class extends Real {
    constructor() {
      super();
      made++;
    }
  };
  try {
    run();
  } finally {
    globalThis.AbortController = Real;
  }
  return made;
}

/** What somebody else might write: no scope, only the interface. */
function foreign(parent: Context): Context {
  return {
    signal: parent.signal,
    deadline: parent.deadline,
    get err() {
      return parent.err;
    },
    get cause() {
      return parent.cause;
    },
    done: () => parent.done(),
    value: (key) => parent.value(key),
  };
}

/** A clock moved by hand, whose timers may fire early, as they are allowed to. */
class HandClock implements Clock {
  readonly timeOrigin = 1_000_000;
  readonly timers = new Map<number, { callback: () => void; ms: number }>();
  #now = 0;
  #id = 0;

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): number {
    this.timers.set(++this.#id, { callback, ms });
    return this.#id;
  }

  clearTimeout(timer: unknown): void {
    assert.ok(typeof timer === 'number', 'only timers of this clock are cleared');
    this.timers.delete(timer);
  }

  /** Moves the time and fires all timers, due or not. */
  moveTo(now: number): void {
    this.#now = now;
    for (const [id, { callback }] of [...this.timers]) if (this.timers.delete(id)) callback();
  }
}

/** As the manager's TaskContext: a context with a scope of its own, made when somebody asks for it. */
function scoped(clock?: Clock, parent: Context = background()) {
  let scope: CancelScope | undefined;
  const get = () => {
    scope ??= new CancelScope(parent, clock);
    return scope;
  };
  const ctx: Context & { [scopeOf](): CancelScope } = {
    get signal() {
      return get().signal;
    },
    deadline: undefined,
    get err() {
      return scope?.err;
    },
    get cause() {
      return scope?.cause;
    },
    done: () => get().done(),
    value: (key) => parent.value(key),
    [scopeOf]: get,
  };
  return { ctx, made: () => scope !== undefined, scope: get };
}

describe('background', () => {
  test('is never canceled, has no deadline and no values, and is always the same', () => {
    const ctx = background();
    assert.equal(ctx, background());
    assert.equal(ctx.deadline, undefined);
    live(ctx);
    assert.equal(ctx.cause, undefined);
    assert.equal(ctx.value('key'), undefined);
    assert.equal(ctx.value(undefined), undefined);
    assert.equal(ctx.signal.aborted, false);
    assert.equal(ctx.signal, ctx.signal);
  });

  test('does not remember who waits for it: done() is a promise of its own for each', () => {
    assert.notEqual(background().done(), background().done());
  });
});

describe('withCancel', () => {
  test('gives a context that cancel ends: err, cause, signal and done say so', async () => {
    const [ctx, cancel] = withCancel(background());
    const { signal } = ctx;
    const done = ctx.done();
    live(ctx);
    assert.equal(ctx.cause, undefined);
    assert.equal(signal.aborted, false);
    cancel();
    assert.ok(ctx.err instanceof CanceledError);
    assert.equal(ctx.err.name, 'AbortError');
    assert.equal(ctx.cause, ctx.err);
    assert.equal(signal.aborted, true);
    assert.equal(signal.reason, ctx.err);
    assert.equal(await done, undefined);
  });

  test('makes one signal and one promise, whenever they are asked for', async () => {
    const [ctx, cancel] = withCancel(background());
    assert.equal(ctx.signal, ctx.signal);
    assert.equal(ctx.done(), ctx.done());
    cancel();
    const [late, cancelLate] = withCancel(background());
    cancelLate();
    assert.equal(late.signal.aborted, true);
    assert.equal(late.signal.reason, late.cause);
    assert.equal(late.signal, late.signal);
    await late.done();
  });

  test('makes no AbortController until the signal is read', () => {
    const made = controllersMadeBy(() => {
      const [ctx, cancel] = withCancel(background());
      const [child] = withTimeout(withValue(ctx, 'k', 1), HOUR);
      afterFunc(child, () => {});
      void child.done();
      void background().done();
      const [under] = withCancel(fromSignal(AbortSignal.abort()));
      cancel();
      assert.ok(child.err && under.err);
    });
    assert.equal(made, 0);
    assert.equal(
      controllersMadeBy(() => withCancel(background())[0].signal),
      1,
    );
  });

  test('cancels children and grandchildren before cancel returns, with the same err and cause', () => {
    const [ctx, cancel] = withCancelCause(background());
    const [child] = withCancel(ctx);
    const grandchild = withValue(withTimeout(child, HOUR)[0], 'k', 1);
    cancel('why');
    for (const one of [child, grandchild]) {
      assert.equal(one.err, ctx.err);
      assert.equal(one.cause, 'why');
      assert.equal(one.signal.reason, 'why');
    }
  });

  test('leaves parent and siblings alone when a child is canceled', () => {
    const [ctx] = withCancel(background());
    const [child, cancelChild] = withCancel(ctx);
    const [sibling] = withCancel(ctx);
    cancelChild();
    assert.ok(child.err);
    live(ctx);
    live(sibling);
  });

  test('keeps the first err and cause: later cancels do nothing', () => {
    const [ctx, cancel] = withCancelCause(background());
    const [child, cancelChild] = withCancelCause(ctx);
    cancelChild('first');
    const { err } = child;
    cancel('second');
    cancelChild('third');
    assert.equal(child.err, err);
    assert.equal(child.cause, 'first');
    assert.equal(ctx.cause, 'second');
  });

  test('gives a child born under a canceled parent its err and cause at once', () => {
    const [ctx, cancel] = withCancelCause(background());
    cancel('gone');
    for (const [child] of [withCancel(ctx), withTimeout(ctx, HOUR), withTimeout(ctx, -1), withDeadline(ctx, 0)]) {
      assert.equal(child.err, ctx.err);
      assert.equal(child.cause, 'gone');
      assert.equal(child.signal.reason, 'gone');
    }
  });

  test('has the whole tree canceled before the first listener hears of it', () => {
    const [ctx, cancel] = withCancel(background());
    const [a, cancelA] = withCancelCause(ctx);
    const [b, cancelB] = withCancelCause(ctx);
    const heard: unknown[] = [];
    ctx.signal.addEventListener('abort', () => {
      heard.push(a.err, b.err, withCancel(a)[0].err);
      cancelA('too late');
      cancelB('too late');
    });
    cancel();
    assert.deepEqual(heard, [ctx.err, ctx.err, ctx.err]);
    assert.equal(a.cause, ctx.err);
    assert.equal(b.cause, ctx.err);
  });

  test('may be canceled by each other from within a cancel', () => {
    const [parent, cancelParent] = withCancel(background());
    const [child, cancelChild] = withCancel(parent);
    child.signal.addEventListener('abort', () => cancelParent());
    parent.signal.addEventListener('abort', () => cancelChild());
    cancelChild();
    assert.ok(child.err && parent.err);
    assert.notEqual(child.err, parent.err);
  });

  test('cancels at the end of a block with using', () => {
    const [outer, cancelOuter] = withCancel(background());
    const [ctx, cancel] = withCancelCause(outer);
    {
      using _ = cancel;
      using __ = cancelOuter;
      live(ctx);
    }
    assert.ok(outer.err);
    assert.equal(ctx.err, outer.err, 'the last declared goes first');
  });
});

describe('withCancelCause', () => {
  test('says why: the cause is ctx.cause, signal.reason and the cause of err', () => {
    const reason = new Error('the user left');
    const [ctx, cancel] = withCancelCause(background());
    cancel(reason);
    assert.ok(ctx.err instanceof CanceledError);
    assert.equal(ctx.err.cause, reason);
    assert.equal(ctx.cause, reason);
    assert.equal(ctx.signal.reason, reason);
  });

  test('takes anything as a cause but undefined, which stands for err', () => {
    for (const cause of [null, 0, '', false]) {
      const [ctx, cancel] = withCancelCause(background());
      cancel(cause);
      assert.equal(ctx.cause, cause);
      assert.equal(ctx.signal.reason, cause);
    }
    const [ctx, cancel] = withCancelCause(background());
    cancel(undefined);
    assert.equal(ctx.cause, ctx.err);
    assert.equal(ctx.signal.reason, ctx.err);
  });
});

describe('withTimeout and withDeadline', () => {
  test('end a context by themselves with a DeadlineExceededError', async () => {
    const before = Date.now();
    const [ctx] = withTimeout(background(), 20);
    const [other] = withDeadline(background(), new Date(before + 20));
    live(ctx);
    assert.ok(Math.abs(ctx.deadline! - (before + 20)) < 1_000);
    assert.equal(other.deadline, before + 20);
    await held(Promise.all([ctx.done(), other.done()]));
    for (const { err, cause, signal } of [ctx, other]) {
      assert.ok(err instanceof DeadlineExceededError);
      assert.equal(err.name, 'TimeoutError');
      assert.equal(cause, err);
      assert.equal(signal.reason, err);
    }
  });

  test('carry a cause of their own, which only the passing of the deadline gives', async () => {
    const cause = new Error('too slow');
    const [ctx] = withTimeout(background(), 1, cause);
    await held(ctx.done());
    assert.ok(ctx.err instanceof DeadlineExceededError);
    assert.equal(ctx.err.cause, cause);
    assert.equal(ctx.cause, cause);
    const [canceled, cancel] = withDeadline(background(), Date.now() + HOUR, cause);
    cancel();
    assert.ok(canceled.err instanceof CanceledError);
    assert.equal(canceled.cause, canceled.err);
  });

  test('cancel at once, without a timer, when the deadline has passed', () => {
    const clock = new HandClock();
    const { ctx } = scoped(clock);
    const limits = [
      withTimeout(ctx, 0, 'late'),
      withTimeout(ctx, -5, 'late'),
      withTimeout(ctx, -Infinity, 'late'),
      withDeadline(ctx, clock.timeOrigin, 'late'),
      withDeadline(background(), Date.now() - 1_000, 'late'),
      withDeadline(background(), new Date(0), 'late'),
    ];
    for (const [limited, cancel] of limits) {
      cancel();
      assert.ok(limited.err instanceof DeadlineExceededError);
      assert.equal(limited.cause, 'late');
    }
    assert.equal(clock.timers.size, 0);
  });

  test('keep the nearer deadline, whichever of parent and child has it', () => {
    const clock = new HandClock();
    const { ctx } = scoped(clock);
    const [near, cancelNear] = withTimeout(ctx, 10, 'near');
    const [far] = withTimeout(near, 20, 'far');
    assert.equal(far.deadline, near.deadline);
    assert.equal(clock.timers.size, 1, 'the parent watches for the child');
    const [nearest] = withTimeout(far, 5, 'nearest');
    assert.equal(nearest.deadline, clock.timeOrigin + 5);
    clock.moveTo(5);
    assert.equal(nearest.cause, 'nearest');
    live(far);
    clock.moveTo(10);
    assert.equal(far.cause, 'near');
    assert.ok(far.err instanceof DeadlineExceededError);
    cancelNear();
    assert.equal(clock.timers.size, 0);
  });

  test('pass their deadline on to what is derived', () => {
    const [ctx, cancel] = withDeadline(background(), Date.now() + HOUR);
    assert.equal(withCancel(ctx)[0].deadline, ctx.deadline);
    assert.equal(withCancelCause(ctx)[0].deadline, ctx.deadline);
    assert.equal(withValue(ctx, 'k', 1).deadline, ctx.deadline);
    assert.equal(withDeadline(ctx, Infinity)[0].deadline, ctx.deadline);
    assert.equal(withoutCancel(ctx).deadline, undefined);
    cancel();
  });

  test('end at once when past, though the parent has a nearer deadline that is late to fire', () => {
    const clock = new HandClock();
    const [parent] = withTimeout({ ...foreign(scoped(clock).ctx), deadline: 0 }, HOUR);
    const [ctx] = withTimeout(parent, 0, 'mine');
    assert.equal(ctx.cause, 'mine');
    assert.equal(ctx.deadline, 0);
    live(parent);
  });

  test('set no limit with Infinity', () => {
    const clock = new HandClock();
    const { ctx } = scoped(clock);
    const [endless, cancel] = withTimeout(ctx, Infinity);
    assert.equal(endless.deadline, undefined);
    assert.equal(clock.timers.size, 0);
    cancel();
    assert.ok(endless.err instanceof CanceledError);
  });

  test('wait on when the timer fires early, as it does for delays above 2^31-1 ms', () => {
    const clock = new HandClock();
    const [ctx] = withTimeout(scoped(clock).ctx, 2 ** 40);
    clock.moveTo(2 ** 31 - 1);
    live(ctx);
    assert.deepEqual(
      [...clock.timers.values()].map(({ ms }) => ms),
      [2 ** 40 - (2 ** 31 - 1)],
    );
    clock.moveTo(2 ** 40);
    assert.ok(ctx.err instanceof DeadlineExceededError);
  });

  test('clear the timer when canceled, by the child or by the parent', () => {
    const clock = new HandClock();
    const [parent, cancelParent] = withCancel(scoped(clock).ctx);
    const [, cancelOne] = withTimeout(parent, 10);
    withTimeout(withValue(parent, 'k', 1), 20);
    assert.equal(clock.timers.size, 2);
    cancelOne();
    assert.equal(clock.timers.size, 1);
    cancelParent();
    assert.equal(clock.timers.size, 0);
  });

  test('do not hold the process', () => {
    const url = pathToFileURL(join(ROOT, 'src/go/context.ts')).href;
    const code = `
      const { background, withTimeout, withDeadline, afterFunc } = await import(${JSON.stringify(url)});
      const [ctx] = withTimeout(background(), ${HOUR});
      afterFunc(ctx, () => {});
      ctx.done();
      ctx.signal.addEventListener('abort', () => {});
      withDeadline(background(), Date.now() + 2 ** 40);
    `;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const { status, stderr } = spawnSync(process.execPath, args, { timeout: 120_000, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });

  test('let no process end while something of errand waits under them', () => {
    const url = pathToFileURL(join(ROOT, 'src/go/index.ts')).href;
    const code = `
      const { background, Channel, receive, select, Semaphore, withCancel, withTimeout } = await import(${JSON.stringify(url)});
      const limited = () => withCancel(withTimeout(background(), 20)[0])[0];
      const channel = new Channel();
      await channel.receive({ signal: limited() }).catch((error) => console.log(error.name));
      await channel.receive({ signal: limited().signal }).catch((error) => console.log(error.name));
      console.log((await select({ value: receive(channel), quit: limited() })).case);
      const semaphore = new Semaphore(1);
      await semaphore.acquire();
      await semaphore.acquire(1, { signal: limited() }).catch((error) => console.log(error.name));
      const stuck = new WritableStream({ write: () => new Promise(() => {}) });
      await Channel.from([1]).pipeTo(stuck, { signal: limited() }).catch((error) => console.log(error.name));
      // And a wait that has ended holds it no longer.
      const wait = channel.receive({ signal: withTimeout(background(), ${HOUR})[0] });
      channel.trySend(1);
      console.log((await wait).value);
    `;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { timeout: 50_000, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'TimeoutError\nTimeoutError\nquit\nTimeoutError\nTimeoutError\n1\n');
  });
});

describe('withClock', () => {
  test('has all below run by that clock', async () => {
    const clock = new VirtualClock();
    const parent = withValue(background(), 'user', 'ada');
    const timed = withClock(parent, clock);
    const [ctx] = withTimeout(timed, HOUR);
    const [child] = withDeadline(ctx, 30_000);
    assert.equal(timed.value('user'), 'ada');
    assert.equal(ctx.deadline, HOUR);
    await clock.advance(29_999);
    live(child);
    await clock.advance(1);
    assert.equal(child.err?.name, 'TimeoutError');
    live(ctx);
    await clock.advance(HOUR);
    assert.equal((ctx as Context).err?.name, 'TimeoutError');
    live(timed);
    assert.equal(clock.timerCount, 0);
  });

  test('is canceled with its parent', () => {
    const [parent, cancel] = withCancel(background());
    const ctx = withClock(parent, new VirtualClock());
    cancel();
    assert.ok(ctx.err instanceof CanceledError);
  });

  test('runs what is cut loose from the cancellation above, too', async () => {
    const clock = new VirtualClock();
    const [parent, cancel] = withCancel(withClock(background(), clock));
    const loose = withoutCancel(withValue(withoutCancel(parent), 'user', 'ada'));
    const [ctx] = withTimeout(loose, HOUR);
    const slept = sleep(HOUR, loose);
    cancel();
    assert.equal(ctx.deadline, HOUR);
    await clock.advance(HOUR);
    await slept;
    assert.equal(ctx.err?.name, 'TimeoutError');
    live(loose);
    assert.equal(clock.timerCount, 0);
  });
});

describe('withValue', () => {
  test('finds the nearest value under the very key, past all other kinds of context', () => {
    const key = Symbol('user');
    const one = withValue(background(), key, 'one');
    const [two] = withCancel(withValue(one, 'other', 2));
    const three = withoutCancel(foreign(withTimeout(two, HOUR)[0]));
    const four = withValue(three, key, 'four');
    assert.equal(three.value(key), 'one');
    assert.equal(three.value('other'), 2);
    assert.equal(four.value(key), 'four');
    assert.equal(one.value(Symbol('user')), undefined);
    assert.equal(four.value(undefined), undefined);
  });

  test('can hide a value from above with undefined', () => {
    const ctx = withValue(withValue(background(), 'k', 1), 'k', undefined);
    assert.equal(ctx.value('k'), undefined);
  });

  test('is canceled as its parent is', async () => {
    const [parent, cancel] = withCancel(background());
    const ctx = withValue(withValue(parent, 'a', 1), 'b', 2);
    assert.equal(ctx.signal, parent.signal);
    cancel();
    assert.equal(ctx.err, parent.err);
    assert.equal(ctx.cause, parent.cause);
    await ctx.done();
  });

  test('carries values over a signal and a foreign context too', () => {
    const controller = new AbortController();
    const ctx = withValue(foreign(withValue(controller.signal, 'a', 1)), 'b', 2);
    controller.abort('x');
    assert.equal(ctx.value('a'), 1);
    assert.equal(ctx.cause, 'x');
    assert.ok(ctx.err instanceof CanceledError);
  });
});

describe('withoutCancel', () => {
  test('keeps the values, and neither cancellation nor deadline', () => {
    const [parent, cancel] = withTimeout(withValue(background(), 'k', 'v'), HOUR);
    const ctx = withoutCancel(parent);
    const [child, cancelChild] = withCancel(ctx);
    cancel();
    for (const one of [ctx, child, withoutCancel(parent)]) {
      assert.equal(one.value('k'), 'v');
      assert.equal(one.deadline, undefined);
      live(one);
      assert.equal(one.cause, undefined);
      assert.equal(one.signal.aborted, false);
    }
    cancelChild();
    assert.ok(child.err);
    live(ctx);
  });
});

describe('afterFunc', () => {
  test('runs the function once, after the cancel and in a microtask of its own', async () => {
    const [ctx, cancel] = withCancel(background());
    let runs = 0;
    const stop = afterFunc(ctx, () => runs++);
    await turn();
    assert.equal(runs, 0);
    cancel();
    assert.equal(runs, 0, 'not inside cancel()');
    await Promise.resolve();
    assert.equal(runs, 1);
    assert.equal(stop(), false);
    cancel();
    await turn();
    assert.equal(runs, 1);
  });

  test('runs it after a deadline, and soon when the context is canceled already', async () => {
    const [ctx] = withTimeout(background(), 1);
    await held(new Promise<void>((resolve) => afterFunc(ctx, resolve)));
    assert.ok(ctx.err);
    let ran = false;
    const stop = afterFunc(ctx, () => {
      ran = true;
    });
    assert.equal(ran, false);
    assert.equal(stop(), false, 'it is on its way');
    await Promise.resolve();
    assert.equal(ran, true);
  });

  test('does not run it when stopped before: only the first stop is true', async () => {
    const [ctx, cancel] = withCancel(background());
    let runs = 0;
    const stop = afterFunc(ctx, () => runs++);
    assert.equal(stop(), true);
    assert.equal(stop(), false);
    cancel();
    await turn();
    assert.equal(runs, 0);
  });

  test('can be stopped, once, on a context that never ends', () => {
    for (const ctx of [background(), withoutCancel(background()), withValue(background(), 'k', 1)]) {
      const stop = afterFunc(ctx, () => {});
      assert.equal(stop(), true);
      assert.equal(stop(), false);
    }
  });

  test('can be stopped by who hears of the cancel first', async () => {
    const [ctx, cancel] = withCancel(background());
    let runs = 0;
    const stopped: boolean[] = [];
    ctx.signal.addEventListener('abort', () => stopped.push(stop()));
    const stop = afterFunc(ctx, () => runs++);
    cancel();
    await turn();
    assert.deepEqual(stopped, [true]);
    assert.equal(runs, 0);
  });

  test('lets a function that throws harm nobody: the siblings are canceled and run', (t) => {
    const tasks: (() => void)[] = [];
    t.mock.method(globalThis, 'queueMicrotask', (task: () => void) => tasks.push(task));
    const [ctx, cancel] = withCancel(background());
    const ran: string[] = [];
    afterFunc(ctx, () => {
      throw new Error('mine');
    });
    const [sibling] = withCancel(ctx);
    afterFunc(ctx, () => ran.push('second'));
    afterFunc(sibling, () => ran.push('third'));
    cancel();
    assert.ok(sibling.err);
    assert.equal(tasks.length, 3);
    assert.throws(tasks[0]!, { message: 'mine' });
    tasks[1]!();
    tasks[2]!();
    assert.deepEqual(ran, ['second', 'third']);
  });

  test('follows a bare signal, and leaves no listener on it when stopped', () => {
    const { signal } = new AbortController();
    const stops = [afterFunc(signal, () => {}), afterFunc(signal, () => {})];
    assert.equal(listeners(signal), 1);
    for (const stop of stops) assert.equal(stop(), true);
    assert.equal(listeners(signal), 0);
  });
});

describe('fromSignal', () => {
  test('is canceled when the signal aborts, with its reason for a cause', async () => {
    const controller = new AbortController();
    const ctx = fromSignal(controller.signal);
    live(ctx);
    assert.equal(ctx.cause, undefined);
    assert.equal(ctx.deadline, undefined);
    assert.equal(ctx.signal, controller.signal);
    const done = ctx.done();
    const reason = new Error('bye');
    controller.abort(reason);
    assert.ok(ctx.err instanceof CanceledError);
    assert.equal(ctx.err, ctx.err);
    assert.equal(ctx.err.cause, reason);
    assert.equal(ctx.cause, reason);
    await done;
    assert.equal(listeners(controller.signal), 0);
  });

  test('tells a timeout by the name of the reason', () => {
    const timedOut = fromSignal(AbortSignal.abort(new DOMException('late', 'TimeoutError')));
    assert.ok(timedOut.err instanceof DeadlineExceededError);
    assert.equal(timedOut.err.cause, timedOut.cause);
    for (const reason of [null, 'TimeoutError', 7, new DOMException('no', 'AbortError'), Object.create(null)]) {
      const ctx = fromSignal(AbortSignal.abort(reason));
      assert.ok(ctx.err instanceof CanceledError);
      assert.equal(ctx.cause, reason);
    }
  });

  test('takes an error of a context for what it is', () => {
    const [ctx] = withTimeout(background(), 0);
    assert.equal(fromSignal(ctx.signal).err, ctx.err);
    const [canceled, cancel] = withCancel(background());
    cancel();
    assert.equal(fromSignal(canceled.signal).err, canceled.err);
  });

  test('listens only while something hangs on it, and once however much that is', () => {
    const { signal } = new AbortController();
    const ctx = fromSignal(signal);
    void ctx.err;
    void ctx.cause;
    void ctx.signal;
    withValue(ctx, 'k', 1);
    withoutCancel(ctx);
    assert.equal(listeners(signal), 0);
    const cancels = [ctx, fromSignal(signal), signal, withValue(ctx, 'k', 1)].map((parent) => withCancel(parent)[1]);
    const stop = afterFunc(fromSignal(signal), () => {});
    assert.equal(listeners(signal), 1);
    for (const cancel of cancels) cancel();
    assert.equal(listeners(signal), 1);
    stop();
    assert.equal(listeners(signal), 0);
    const [child] = withCancel(ctx);
    assert.equal(listeners(signal), 1, 'it can begin again');
    live(child);
  });

  test('cancels what is derived as soon as the signal aborts, and listens no more', () => {
    const controller = new AbortController();
    const [child] = withTimeout(controller.signal, HOUR);
    const [grandchild] = withCancel(child);
    controller.abort('stop');
    assert.equal(grandchild.cause, 'stop');
    assert.equal(grandchild.err, fromSignal(controller.signal).err);
    assert.equal(listeners(controller.signal), 0);
  });
});

describe('a foreign context', () => {
  test('is followed through its signal, and its err and cause are taken over', () => {
    const [inner, cancel] = withCancelCause(background());
    const parent = foreign(inner);
    const [child] = withCancel(withValue(parent, 'k', 1));
    const [timed] = withTimeout(parent, HOUR);
    assert.equal(listeners(parent.signal), 1);
    cancel('theirs');
    for (const one of [child, timed]) {
      assert.equal(one.err, inner.err);
      assert.equal(one.cause, 'theirs');
    }
    assert.equal(listeners(parent.signal), 0);
    assert.equal(withCancel(parent)[0].err, inner.err);
  });

  test('keeps no listener of ours when the children are canceled before it', () => {
    const parent = foreign(withCancel(background())[0]);
    const cancels = [withCancel(parent)[1], withTimeout(parent, HOUR)[1], afterFunc(parent, () => {})];
    assert.equal(listeners(parent.signal), 1);
    for (const cancel of cancels) cancel();
    assert.equal(listeners(parent.signal), 0);
  });

  test('is told from other things by isContext, without making its signal', () => {
    let read = false;
    const parent = scoped();
    const lazy = {
      get signal() {
        read = true;
        return background().signal;
      },
      done: async () => {},
      value: () => undefined,
    };
    assert.ok(isContext(lazy));
    assert.equal(read, false);
    assert.ok(isContext(parent.ctx));
    assert.equal(parent.made(), false);
    for (const one of [background(), withValue(background(), 'k', 1), fromSignal(AbortSignal.abort())]) {
      assert.ok(isContext(one));
    }
    for (const other of [undefined, null, 1, 'ctx', {}, new AbortController(), AbortSignal.abort(), { signal: 1 }]) {
      assert.equal(isContext(other), false);
    }
  });
});

describe('wrong arguments', () => {
  test('throw a TypeError for a parent that is none', () => {
    for (const wrong of [undefined, null, {}, 'ctx', new AbortController()]) {
      const parent = wrong as unknown as Context;
      const message = /^parent must be a Context or an AbortSignal, got /;
      assert.throws(() => withCancel(parent), { name: 'TypeError', message });
      assert.throws(() => withCancelCause(parent), { name: 'TypeError', message });
      assert.throws(() => withTimeout(parent, 1), { name: 'TypeError', message });
      assert.throws(() => withDeadline(parent, 1), { name: 'TypeError', message });
      assert.throws(() => withValue(parent, 'k', 1), { name: 'TypeError', message });
      assert.throws(() => withoutCancel(parent), { name: 'TypeError', message });
      assert.throws(() => afterFunc(parent, () => {}), { name: 'TypeError', message: /^ctx must be / });
      assert.throws(() => fromSignal(wrong as unknown as AbortSignal), { name: 'TypeError', message: /^signal must / });
    }
  });

  test('throw for times that are no numbers, naming them', () => {
    const ctx = background();
    assert.throws(() => withTimeout(ctx, NaN), { name: 'RangeError', message: 'ms must be a number, got NaN' });
    assert.throws(() => withTimeout(ctx, '5' as unknown as number), { name: 'TypeError', message: /^ms .*"5"$/ });
    assert.throws(() => withDeadline(ctx, NaN), { name: 'RangeError', message: /^deadline .*NaN$/ });
    assert.throws(() => withDeadline(ctx, new Date(NaN)), { name: 'RangeError', message: /^deadline / });
    assert.throws(() => withDeadline(ctx, undefined as unknown as Date), { name: 'TypeError', message: /undefined$/ });
  });

  test('throw for a key that is undefined or null, and a function that is none', () => {
    assert.throws(() => withValue(background(), undefined, 1), { name: 'TypeError', message: /^key .*undefined$/ });
    assert.throws(() => withValue(background(), null, 1), { name: 'TypeError', message: /^key .*null$/ });
    const fn = 7 as unknown as () => void;
    assert.throws(() => afterFunc(background(), fn), { name: 'TypeError', message: 'fn must be a function, got 7' });
  });

  test('leave nothing on the parent', () => {
    const { signal } = new AbortController();
    assert.throws(() => withTimeout(signal, NaN));
    assert.throws(() => withDeadline(signal, NaN));
    assert.throws(() => withValue(signal, undefined, 1));
    assert.equal(listeners(signal), 0);
  });
});

describe('large trees', () => {
  const N = 100_000;

  test('a chain of 100,000 is looked up and canceled without overflowing the stack', () => {
    const [root, cancel] = withCancel(withValue(background(), 'deep', 'down'));
    let ctx = root;
    for (let i = 0; i < N; i++) ctx = i % 2 ? withCancel(ctx)[0] : withValue(ctx, `k${i}`, i);
    assert.equal(ctx.value('deep'), 'down');
    assert.equal(ctx.value('nowhere'), undefined);
    live(ctx);
    cancel();
    assert.equal(ctx.err, root.err);
  });

  test('a chain of 100,000 values answers for its parent, and one of 100,000 deadlines is canceled', () => {
    let values = withTimeout(background(), HOUR)[0];
    for (let i = 0; i < N; i++) values = withValue(values, 'k', i);
    assert.ok(values.deadline);
    assert.equal(values.signal.aborted, false);
    const [root, cancel] = withTimeout(background(), HOUR);
    let ctx = root;
    for (let i = 0; i < N; i++) ctx = withTimeout(ctx, HOUR)[0];
    cancel();
    assert.equal(ctx.err, root.err);
  });

  test('100,000 children come, leave in any order and are canceled', () => {
    const [root, cancel] = withCancel(background());
    const children = Array.from({ length: N }, () => withCancel(root));
    let told = 0;
    for (const [child] of children) child.done().then(() => told++);
    for (let i = 0; i < N; i += 2) children[(i * 7919) % N]![1]();
    cancel();
    assert.ok(children.every(([child]) => child.err));
  });
});

describe('CancelScope', () => {
  test('is made by a context when something hangs on it, not before', () => {
    const task = scoped();
    const ctx = withValue(task.ctx, 'k', 1);
    live(ctx);
    assert.equal(ctx.value('k'), 1);
    assert.equal(task.made(), false);
    const [child] = withCancel(ctx);
    assert.equal(task.made(), true);
    assert.equal(
      controllersMadeBy(() => task.scope().cancel(new CanceledError(), 'task')),
      0,
    );
    assert.equal(child.cause, 'task');
  });

  test('is missing where nothing can be canceled, so that nothing hangs on the root for ever', () => {
    for (const ctx of [background(), withoutCancel(withCancel(background())[0]), withValue(background(), 'k', 1)]) {
      assert.equal((ctx as Context & { [scopeOf](): unknown })[scopeOf](), undefined);
    }
  });

  test('is no part of the public face', () => {
    for (const name of ['CancelScope', 'scopeOf', 'contextOf']) assert.equal(name in go, false);
  });

  test('cancels once, and says whether it was the first', () => {
    const scope = new CancelScope(undefined);
    const err = new CanceledError();
    assert.equal(scope.cancel(err), true);
    assert.equal(scope.cancel(new CanceledError(), 'other'), false);
    assert.equal(scope.err, err);
    assert.equal(scope.cause, err);
  });

  test('tells subscribers in order, parents before children, inside cancel', () => {
    const parent = scoped();
    const [, child] = [withCancel(parent.ctx), scoped(undefined, parent.ctx)];
    const heard: unknown[] = [];
    child.scope().subscribe(() => heard.push('child'));
    parent.scope().subscribe((err, cause) => heard.push(err, cause));
    parent.scope().subscribe(() => heard.push('second'));
    const err = new CanceledError();
    parent.scope().cancel(err, 'why');
    assert.deepEqual(heard, [err, 'why', 'second', 'child']);
  });

  test('tells a late subscriber at once', () => {
    const scope = new CancelScope();
    const err = new CanceledError();
    scope.cancel(err, 'why');
    const heard: unknown[] = [];
    const unsubscribe = scope.subscribe((...told) => heard.push(...told));
    assert.deepEqual(heard, [err, 'why']);
    assert.equal(unsubscribe(), false);
  });

  test('does not tell who has unsubscribed, even by a listener told before', () => {
    const scope = new CancelScope();
    const heard: string[] = [];
    const leave = scope.subscribe(() => heard.push('left'));
    assert.equal(leave(), true);
    assert.equal(leave(), false);
    scope.subscribe(() => assert.equal(second(), true));
    const second = scope.subscribe(() => heard.push('second'));
    scope.subscribe(() => heard.push('third'));
    scope.cancel(new CanceledError());
    assert.deepEqual(heard, ['third']);
  });

  test('tells everybody though one throws, which is then reported', (t) => {
    const tasks: (() => void)[] = [];
    t.mock.method(globalThis, 'queueMicrotask', (task: () => void) => tasks.push(task));
    const scope = new CancelScope();
    let heard = false;
    scope.subscribe(() => {
      throw new Error('bad listener');
    });
    scope.subscribe(() => {
      heard = true;
    });
    assert.equal(scope.cancel(new CanceledError()), true);
    assert.equal(heard, true);
    assert.throws(tasks[0]!, { message: 'bad listener' });
  });

  test('leaves its parent when released, and can still be canceled by itself', () => {
    const controller = new AbortController();
    const scope = new CancelScope(fromSignal(controller.signal));
    assert.equal(listeners(controller.signal), 1);
    scope.release();
    scope.release();
    assert.equal(listeners(controller.signal), 0);
    controller.abort();
    live(scope);
    assert.equal(scope.cancel(new CanceledError()), true);
  });

  test('hands its clock down, past values and cancels', () => {
    const clock = new HandClock();
    const task = scoped(clock);
    const [child] = withCancel(withValue(task.ctx, 'k', 1));
    const [ctx] = withTimeout(child, 10);
    assert.equal(ctx.deadline, clock.timeOrigin + 10);
    clock.moveTo(10);
    assert.ok(ctx.err instanceof DeadlineExceededError);
  });
});

describe('the signal of a context', () => {
  test('stands for the context where one is taken: its error, its clock and its limit', async () => {
    const clock = new VirtualClock();
    const [timed] = withTimeout(withClock(background(), clock), HOUR);
    const [child] = withCancel(timed.signal);
    const [below] = withTimeout(child, 2 * HOUR);
    await clock.advance(HOUR);
    assert.equal(child.err, timed.err);
    assert.equal(child.err?.name, 'TimeoutError');
    assert.equal(below.err, timed.err);
    assert.equal(clock.timerCount, 0);
    assert.equal(listeners(timed.signal), 0);
  });
});

describe('any tree', () => {
  type Step =
    | { do: 'derive'; kind: (typeof kinds)[number]; from: number }
    | { do: 'cancel' | 'look' | 'watch' | 'stop'; at: number };
  const kinds = ['cancel', 'value', 'without', 'timeout', 'late', 'foreign', 'signal', 'task'] as const;

  const index = fc.nat({ max: 1_000 });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('derive' as const), kind: fc.constantFrom(...kinds), from: index }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cancel', 'look', 'watch', 'stop'), at: index }) },
  );

  interface Node {
    ctx: Context;
    cancel?: (cause: unknown) => void;
    parent: Node | undefined;
    kind: (typeof kinds)[number];
    /** The model's own account: how and why it ended, if it did. */
    ended?: { kind: typeof CanceledError | typeof DeadlineExceededError; cause: unknown };
    watchers: { runs: number; stop: () => boolean; mustRun: boolean }[];
  }

  test('behaves like the model: parents end children, never the reverse, and the first cause stays', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const controller = new AbortController();
        const root: Node = {
          ctx: fromSignal(controller.signal),
          cancel: (cause) => controller.abort(cause),
          parent: undefined,
          kind: 'signal',
          watchers: [],
        };
        const nodes: Node[] = [root];
        const clock = new HandClock();
        steps.forEach((one, i) => {
          if (one.do === 'derive') {
            const parent = nodes[one.from % nodes.length]!;
            nodes.push(derive(one.kind, parent, clock, i));
          } else {
            const node = nodes[one.at % nodes.length]!;
            if (one.do === 'cancel' && node.cancel) {
              const cause = `step ${i}`;
              node.cancel(cause);
              end(nodes, node, { kind: CanceledError, cause });
            }
            if (one.do === 'look') {
              assert.equal(node.ctx.signal.aborted, node.ended !== undefined);
              if (node.ended) assert.equal(node.ctx.signal.reason, node.ended.cause);
            }
            if (one.do === 'watch') {
              const watcher = { runs: 0, stop: () => false, mustRun: node.ended !== undefined };
              watcher.stop = afterFunc(node.ctx, () => watcher.runs++);
              node.watchers.push(watcher);
            }
            if (one.do === 'stop') {
              const watcher = node.watchers.pop();
              if (watcher) assert.equal(watcher.stop(), node.ended === undefined);
            }
          }
          for (const node of nodes) check(node);
        });
        await turn();
        for (const { watchers } of nodes) for (const { runs, mustRun } of watchers) assert.equal(runs, mustRun ? 1 : 0);
        // Ended from the leaves up, nobody leaves anything behind on what he hung on.
        const signals = nodes.map(({ ctx }) => ctx.signal);
        for (const node of nodes.slice(1).reverse()) {
          for (const { stop } of node.watchers) stop();
          node.cancel?.('the end');
        }
        for (const { stop } of root.watchers) stop();
        for (const signal of signals) assert.equal(listeners(signal), 0);
        assert.equal(clock.timers.size, 0);
      }),
      { numRuns: 300 },
    );
  });

  function derive(kind: Node['kind'], parent: Node, clock: HandClock, i: number): Node {
    const node = (ctx: Context, cancel?: Node['cancel']): Node => {
      const made: Node = { ctx, parent, kind, watchers: [] };
      if (cancel) made.cancel = cancel;
      if (parent.ended && kind !== 'without') made.ended = parent.ended;
      return made;
    };
    switch (kind) {
      case 'cancel':
        return node(...withCancelCause(parent.ctx));
      case 'value':
        return node(withValue(parent.ctx, 'i', i));
      case 'without':
        return node(withoutCancel(parent.ctx));
      case 'timeout': {
        const [ctx, cancel] = withCancelCause(parent.ctx);
        const [timed, stop] = withTimeout(ctx, HOUR);
        return node(timed, (cause) => {
          cancel(cause);
          stop();
        });
      }
      case 'late': {
        const made = node(withTimeout(parent.ctx, 0, `late ${i}`)[0]);
        made.ended ??= { kind: DeadlineExceededError, cause: `late ${i}` };
        return made;
      }
      case 'foreign':
        return node(foreign(parent.ctx));
      case 'signal':
        return node(...withCancelCause(parent.ctx.signal));
      case 'task': {
        const { ctx, scope } = scoped(clock, parent.ctx);
        const [timed, stop] = withTimeout(ctx, HOUR);
        return node(timed, (cause) => {
          scope().cancel(new CanceledError(), cause);
          stop();
        });
      }
    }
  }

  function end(nodes: Node[], node: Node, ended: NonNullable<Node['ended']>): void {
    if (node.ended) return;
    node.ended = ended;
    for (const watcher of node.watchers) watcher.mustRun = true;
    for (const child of nodes) {
      if (child.parent === node && child.kind !== 'without') end(nodes, child, ended);
    }
  }

  function check({ ctx, ended, kind }: Node): void {
    assert.equal(ctx.err === undefined, ended === undefined, kind);
    if (ended) assert.ok(ctx.err instanceof ended.kind, kind);
    assert.equal(ctx.cause, ended?.cause, kind);
  }
});
