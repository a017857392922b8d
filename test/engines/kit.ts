/** What the tests of engines share. */
import type { NewCall } from '../../src/engines/index.ts';

let made = 0;

/** A call with an id of its own, and defaults for all the rest. */
export function newCall(call: Partial<NewCall> = {}): NewCall {
  return {
    id: `call-${++made}`,
    task: 'task',
    version: 1,
    queue: 'default',
    priority: 0,
    manager: 'default',
    input: 'null',
    context: '{}',
    parentId: undefined,
    delayMs: 0,
    lanes: [],
    key: undefined,
    onDuplicate: 'parallel',
    retention: { completedMs: Infinity, failedMs: Infinity },
    overrides: undefined,
    ...call,
  };
}
