/**
 * Each suite in fresh processes, one after the other: what the compiler learns in one suite, or happens to learn in
 * one process, must not decide the figure.
 */
import { fork } from 'node:child_process';
import type { Message } from './child.ts';
import type { Measured } from './results.ts';

/** Measures a suite in a process of its own. */
export function measureInProcess(
  suite: string,
  smoke: boolean,
  onRound: (round: number, of: number) => void,
): Promise<Measured> {
  return new Promise((resolve, reject) => {
    // The parent's own flags go along: --expose-gc and the TypeScript loader.
    const child = fork(new URL('./child.ts', import.meta.url), [suite, smoke ? 'smoke' : 'full']);
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
