/** What holds a process that has threads, and what doesn't: programs that end by themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../programs.ts';

const PATIENCE = { timeout: 30_000 };

/** What a scenario of process.program.ts says, and how it ends. */
const SCENARIOS = {
  idle: [0, 'idle\n'],
  busy: [0, 'spun\nwaited\nwaited\nwaited\n100\n'],
  canceled: [0, 'rejected\nrejected\nrejected\n1\nleft\ntimed out\n'],
  stop: [0, 'spun\nstopped\n'],
  exit: [5, 'exiting\n'],
} as const;

const NAMES = {
  idle: 'idle threads don’t hold the process',
  canceled: 'what was canceled holds the process until it has ended, and no longer',
  busy: 'a task that runs on a thread, or waits for one, holds the process',
  stop: 'stop() holds the process until the threads have ended',
  exit: 'process.exit ends a process with threads at work',
} as const;

for (const scenario of Object.keys(SCENARIOS) as (keyof typeof SCENARIOS)[]) {
  test(NAMES[scenario], PATIENCE, async (t) => {
    const program = start(t, 'test/threads/process.program.ts', { args: [scenario] });
    const [code, said] = SCENARIOS[scenario];
    const ended = await program.ended;
    assert.equal(program.stdout, said);
    assert.equal(program.stderr, '');
    assert.equal(ended, code);
  });
}
