/**
 * Each suite in fresh processes, one after the other: what the compiler learns in one suite, or happens to learn in
 * one process, must not decide the figure. And as users have it, built by tsc, into `.bench`: tsx gives every class its
 * name anew, and V8 then no longer inlines the constructors on a hot path.
 */
import { fork } from 'node:child_process';
import type { Message } from './child.ts';
import type { Measured } from './results.ts';

const CHILD = new URL('../../.bench/bench/lib/child.js', import.meta.url);

/** Measures a suite in a process of its own. */
export function measureInProcess(
  suite: string,
  smoke: boolean,
  onRound: (round: number, of: number) => void,
): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [suite, smoke ? 'smoke' : 'full'], { execArgv: ['--expose-gc'] });
    let measured: Measured | undefined;
    child.on('message', (message: Message) => {
      if (message.type === 'round') onRound(message.round, message.of);
      else measured = message.measured;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (measured !== undefined && code === 0) resolve(measured);
      else reject(new Error(`suite ${suite} crashed: ${signal ?? `exit code ${code}`}`));
    });
  });
}
