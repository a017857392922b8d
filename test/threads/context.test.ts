/** The context of a call, inside the thread: currentContext and isCancelled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { background, withTimeout, withValue } from '../../src/go/index.ts';
import { CanceledError, DeadlineExceededError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { currentContext, isCancelled } from '../../src/threads/index.ts';
import { manage, Probe, rejectionOf, work } from './kit.ts';

interface Description {
  readonly id: string;
  readonly attempt: number;
  readonly deadline: number | undefined;
  readonly err: string | undefined;
  readonly cause: unknown;
  readonly isAborted: boolean;
  readonly isCancelled: boolean;
}

/** What modules/contexts.js exports, of that which these tests call. */
interface Contexts {
  show(): Description;
  showOutside(): Promise<Description>;
  isSame(): boolean;
  throughAwaits(): Promise<string[]>;
  waitForSignal(): Promise<never>;
  waitForDone(): Promise<void>;
  seen(): Description;
  count(): number;
  countLater(): Promise<void>;
  block(): boolean;
}

const BEGUN = 0;
const ENDED = 1;
const LET_GO = 2;

const CONTEXTS = work('contexts.js');

/** Runs a test with a manager of one thread, and the numbers that the thread tells. */
function knowing(body: (manager: ReturnType<typeof manage<Contexts>>, probe: Probe) => Promise<void>) {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells });
    await body(manager, probe);
    await manager.stop();
  });
}

test(
  'a function knows the id and the attempt of its task, its deadline, and that it isn’t canceled',
  knowing(async (manager) => {
    const plain = await manager.queueTask((_, { api }) => api.show(), { id: 'mine' });
    assert.deepEqual(plain, {
      id: 'mine',
      attempt: 1,
      deadline: undefined,
      err: undefined,
      cause: undefined,
      isAborted: false,
      isCancelled: false,
    });
    await manager.queueTask(
      async (ctx, { api }) => {
        const { id, deadline } = await api.show();
        assert.equal(id, ctx.id);
        assert.equal(deadline, ctx.deadline);
        assert.equal(typeof deadline, 'number');
      },
      { timeoutMs: 60_000 },
    );
    const attempts: number[] = [];
    await manager.queueTask(
      async (_, { api }) => {
        attempts.push((await api.show()).attempt);
        if (attempts.length < 3) throw new Error('again');
      },
      { retry: { attempts: 3, baseMs: 1 } },
    );
    assert.deepEqual(attempts, [1, 2, 3]);
    await manager.runTask(async (ctx, { api }) => assert.equal((await api.show()).id, ctx.id));
  }),
);

test(
  'the deadline is the nearest: of the context that was given, or of the parent',
  knowing(async (manager) => {
    const [ctx, cancel] = withTimeout(background(), 60_000);
    await manager.queueTask(
      async (own, { api }) => {
        assert.equal((await api.show()).deadline, ctx.deadline);
        const child = await own.queueTask((_, thread) => thread.api.show());
        assert.equal(child.deadline, ctx.deadline);
      },
      { signal: ctx, timeoutMs: 120_000 },
    );
    cancel();
  }),
);

test(
  'currentContext is the same one all through a call, and across its awaits, timers and callbacks',
  knowing(async (manager) => {
    assert.equal(await manager.queueTask((_, { api }) => api.isSame()), true);
    await manager.queueTask(async (ctx, { api }) => {
      const calls = [api.throughAwaits(), api.throughAwaits()];
      const child = ctx.queueTask((_, thread) => thread.api.throughAwaits(), { id: 'child' });
      for (const ids of await Promise.all(calls)) assert.deepEqual(ids, Array(5).fill(ctx.id));
      assert.deepEqual(await child, Array(5).fill('child'));
    });
  }),
);

test(
  'outside of a call it is a context that is never canceled: in a thread, and where there is none',
  knowing(async (manager) => {
    const nobody = { id: '', attempt: 1, deadline: undefined, err: undefined, cause: undefined };
    const inThread = await manager.queueTask((_, { api }) => api.showOutside());
    assert.deepEqual(inThread, { ...nobody, isAborted: false, isCancelled: false });
    const here = currentContext();
    assert.deepEqual(
      { id: here.id, attempt: here.attempt, deadline: here.deadline, err: here.err, cause: here.cause },
      nobody,
    );
    assert.equal(here.signal.aborted, false);
    assert.equal(here.value('key'), undefined);
    assert.equal(isCancelled(), false);
    assert.equal(here.isCancelled(), false);
    // And it is a Context like any: others can be made of it.
    const [derived, cancel] = withTimeout(withValue(here, 'key', 7), 60_000);
    assert.equal(derived.value('key'), 7);
    cancel();
    assert.equal(here.err, undefined);
  }),
);

test(
  'an abort reaches a function as its signal, with the reason',
  knowing(async (manager, probe) => {
    const controller = new AbortController();
    const reason = Object.assign(new RangeError('enough'), { code: 'E_ENOUGH', cause: new Error('of it') });
    let late: unknown;
    const task = manager.queueTask(
      async (_, { api }) => {
        late = await rejectionOf(api.waitForSignal());
      },
      { signal: controller.signal },
    );
    await probe.reached(BEGUN);
    controller.abort(reason);
    assert.equal(await rejectionOf(task), reason);
    await probe.reached(ENDED);
    await manager.queueTask(() => {}); // its function has returned
    assert.ok(late instanceof RangeError);
    assert.equal(late.message, 'enough');
    assert.equal((late as { code?: unknown }).code, 'E_ENOUGH');
    assert.equal((late.cause as Error).message, 'of it');
  }),
);

test(
  'a timeout reaches it as a DeadlineExceededError, cancel() as a CanceledError, and done() resolves',
  knowing(async (manager, probe) => {
    const timedOut = manager.queueTask((_, { api }) => api.waitForDone(), { timeoutMs: 50 });
    assert.ok((await rejectionOf(timedOut)) instanceof DeadlineExceededError);
    await probe.reached(ENDED, 1);
    const first = await manager.queueTask((_, { api }) => api.seen());
    assert.equal(first.err, 'TimeoutError');
    assert.ok(first.isAborted && first.isCancelled);

    const handle = manager.queueTaskAsync((_, { api }) => api.waitForDone());
    await probe.reached(BEGUN, 2);
    handle.cancel('not needed');
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    await probe.reached(ENDED, 2);
    const second = await manager.queueTask((_, { api }) => api.seen());
    assert.equal(second.err, 'AbortError');
    assert.equal(second.cause, 'not needed');
    assert.ok(second.isAborted && second.isCancelled);
  }),
);

for (const name of ['count', 'countLater'] as const) {
  test(
    `${name}: a function that is busy in a loop hears of it by isCancelled`,
    knowing(async (manager, probe) => {
      const handle = manager.queueTaskAsync<unknown>((_, thread) => thread.call(name));
      await probe.reached(BEGUN);
      handle.cancel();
      await rejectionOf(handle);
      await probe.reached(ENDED);
      await manager.queueTask(() => {});
      assert.equal(manager.metrics().totalResourcesCreated, 1, 'its thread had no need to be terminated');
    }),
  );
}

test(
  'isCancelled is of the call that asks, not of others before or beside it',
  knowing(async (manager, probe) => {
    const handle = manager.queueTaskAsync((_, { api }) => api.block());
    await probe.reached(BEGUN);
    handle.cancel();
    await rejectionOf(handle);
    probe.set(LET_GO, 1);
    await manager.queueTask(async (ctx, { api }) => {
      assert.equal((await api.show()).isCancelled, false);
      const child = ctx.queueTaskAsync((_, thread) => thread.api.waitForSignal());
      await probe.reached(BEGUN, 2);
      child.cancel();
      await rejectionOf(child);
      assert.equal((await api.show()).isCancelled, false);
    });
  }),
);
