/** What the memory engine promises beyond the port: that it forgets. The rest is in the suite of all engines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryEngine } from '../../src/engines/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { newCall } from './kit.ts';

const listener = { onWake() {}, onCancel() {}, onMessage() {} };

test(
  'a call goes its way, and leaves no timer behind',
  withLeakCheck(async () => {
    const engine = memoryEngine();
    const epoch = await engine.begin('worker', listener);
    const record = await engine.submit(newCall({ retention: { completedMs: 1_000, failedMs: 1_000 } }));
    assert.equal(record.state, 'queued');
    const [delivery] = await engine.fetch({
      consumer: 'worker',
      epoch,
      queues: [{ name: 'default', max: 1 }],
      max: 1,
      room: { default: 1 },
      leaseMs: 1_000,
    });
    await engine.ack(delivery!.lease, '1');
    assert.equal((await engine.get(record.id))?.state, 'completed');
    await engine.close();
  }),
);
