/** What the user's module says by `console`: it is said where `log` says it, as stdout is for results. */
import { Console } from 'node:console';
import { Writable } from 'node:stream';

/** Has all methods of `console` say what they would write. */
export function sayByConsole(say: (text: string) => void): void {
  const stream = new Writable({
    decodeStrings: false,
    write(text, _, done) {
      say(String(text).replace(/\n$/, ''));
      done();
    },
  });
  // Those who import it have the same object.
  Object.assign(console, new Console({ stdout: stream, stderr: stream }));
}
