/** `retire` of onCreate's context: a resource that hears of its own end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CreateContext, TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { deferred, within } from './kit.ts';

/** Connections, numbered, with the way each can tell of its end. */
class Lines {
  readonly opened: CreateContext[] = [];
  readonly closed: number[] = [];
  readonly onCreate = (context: CreateContext): number => this.opened.push(context);
  readonly onDestroy = (line: number): void => void this.closed.push(line);
  retire(line: number): void {
    this.opened[line - 1]!.retire();
  }
}

test(
  'a resource that retires while it is idle is replaced at once, and no task gets it',
  withLeakCheck(async () => {
    const lines = new Lines();
    const { onCreate, onDestroy } = lines;
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, onCreate, onDestroy });
    const reasons: string[] = [];
    manager.on('workerReplaced', ({ reason }) => reasons.push(reason));
    await manager.ready();
    lines.retire(1);
    assert.deepEqual(lines.closed, [1]);
    assert.deepEqual(reasons, ['retired']);
    assert.equal(await within(manager.queueTask((_, line) => line)), 2);
    await manager.stop();
    assert.deepEqual(lines.closed, [1, 2]);
  }),
);

test(
  'one that retires under a task is replaced after it, once however often it asks',
  withLeakCheck(async () => {
    const lines = new Lines();
    const { onCreate, onDestroy } = lines;
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, onCreate, onDestroy });
    const open = deferred();
    const first = manager.queueTask(async (_, line) => {
      await open.promise;
      return line;
    });
    await manager.ready();
    await turn();
    lines.retire(1);
    lines.retire(1);
    assert.deepEqual(lines.closed, []);
    open.resolve();
    assert.equal(await within(first), 1);
    assert.equal(await within(manager.queueTask((_, line) => line)), 2);
    assert.deepEqual(lines.closed, [1]);
    lines.retire(1); // its worker is another's by now
    assert.equal(await within(manager.queueTask((_, line) => line)), 2);
    await manager.stop();
    lines.retire(2);
    assert.deepEqual(lines.closed, [1, 2]);
  }),
);

test(
  'one that retires before it is made is replaced as soon as it is',
  withLeakCheck(async () => {
    const lines = new Lines();
    const { onDestroy } = lines;
    const manager = new TaskManager({
      workerCount: 1,
      burstIntervalMs: 0,
      onCreate: (context) => {
        const line = lines.onCreate(context);
        if (line === 1) context.retire();
        return line;
      },
      onDestroy,
    });
    await manager.ready();
    await turn();
    assert.equal(await within(manager.queueTask((_, line) => line)), 2);
    await manager.stop();
    assert.deepEqual(lines.closed, [1, 2]);
  }),
);

test(
  'one of runTask retires as well, idle or busy',
  withLeakCheck(async () => {
    const lines = new Lines();
    const { onCreate, onDestroy } = lines;
    const manager = new TaskManager({
      workerCount: 1,
      resourcePoolSize: 1,
      maxTemporary: 0,
      burstIntervalMs: 0,
      onCreate,
      onDestroy,
    });
    await manager.ready();
    assert.equal(await within(manager.runTask((_, line) => line)), 2);
    lines.retire(2);
    assert.deepEqual(lines.closed, [2]);
    const third = manager.runTask((_, line) => {
      lines.retire(line);
      return line;
    });
    assert.equal(await within(third), 3);
    assert.deepEqual(lines.closed, [2, 3]);
    await manager.stop();
  }),
);
