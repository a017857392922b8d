import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTime, isValid } from 'ulid';
import { TaskManager } from '../../src/index.ts';
import { IdSource, STAMP_STEP_MS } from '../../src/manager/id.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { managing } from './support.ts';

const ORIGIN = 1_700_000_000_000;

test('an id is a valid ULID that tells the ms of submission', () => {
  const ids = new IdSource(ORIGIN);
  for (const stamp of [0, 0.5, 1, 1234.75, 86_400_000.125]) {
    const id = ids.at(stamp);
    assert.ok(isValid(id), id);
    assert.equal(decodeTime(id), ORIGIN + Math.floor(stamp));
  }
});

test('ids of one source sort as their stamps do, down to the smallest step', () => {
  const ids = new IdSource(ORIGIN);
  const stamps: number[] = [];
  for (const base of [0, 0.999, 1, 999.999, 4 * 365 * 86_400_000]) {
    for (let step = 0; step < 100; step++) stamps.push(base + step * STAMP_STEP_MS);
  }
  stamps.sort((a, b) => a - b);
  const made = [...new Set(stamps)].map((stamp) => ids.at(stamp));
  assert.deepEqual(made, made.toSorted());
  assert.equal(new Set(made).size, made.length);
});

test('the id of a stamp is always the same', () => {
  const ids = new IdSource(ORIGIN);
  assert.equal(ids.at(17.25), ids.at(17.25));
});

test('two sources give different ids for one stamp', () => {
  assert.notEqual(new IdSource(ORIGIN).at(1), new IdSource(ORIGIN).at(1));
});

test(
  'ten thousand tasks of one instant have ids that are valid, unique and sorted by submission',
  managing({ workerCount: 1 }, (manager) => {
    manager.pause();
    const handles = Array.from({ length: 10_000 }, () => manager.queueTaskAsync(() => {}));
    const ids = handles.map(({ id }) => id);
    assert.ok(ids.every((id) => isValid(id)));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(ids, ids.toSorted());
  }),
);

test(
  'ids are valid, unique and sorted on the real clock too',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 4 });
    const ids = await Promise.all(Array.from({ length: 2_000 }, () => manager.queueTask(({ id }) => id)));
    await manager.stop();
    assert.ok(ids.every((id) => isValid(id)));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(ids, ids.toSorted());
  }),
);

test(
  'a handle, the context and the snapshot of a task tell the same id',
  managing({}, async (manager) => {
    const handle = manager.queueTaskAsync((ctx) => ({
      own: ctx.id,
      seen: manager.tasks().map(({ id }) => id),
    }));
    const { own, seen } = await handle;
    assert.equal(own, handle.id);
    assert.deepEqual(seen, [handle.id]);
  }),
);
