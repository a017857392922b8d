// Output in all forms.
export function print(text) {
  process.stdout.write(text);
}

export function warn(text) {
  process.stderr.write(text);
}

export function log(...values) {
  console.log(...values);
}

export async function pieces(pieces) {
  for (const piece of pieces) {
    process.stdout.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function encoded() {
  process.stdout.write('6865780a', 'hex');
  process.stdout.write('YmFzZTY0Cg==', 'base64');
  process.stdout.cork();
  process.stdout.write('616c6c20', 'hex');
  process.stdout.write('at once\n', 'latin1');
  process.stdout.uncork();
}

export function printMany(lines) {
  for (let i = 0; i < lines; i++) console.log(`line ${i}`);
}

export function printAndDie(text, code) {
  process.stdout.write(text);
  process.exit(code);
}

export async function printAndThrow(text) {
  process.stdout.write(text);
  setImmediate(() => {
    throw new Error('thrown');
  });
  await new Promise(() => {});
}

export function printAtExit(text) {
  process.on('exit', () => process.stdout.write(text));
}

/** Holds the thread until the flag is set. */
export function printInLoop(flag) {
  console.log('before');
  console.log('still before');
  Atomics.wait(flag, 0, 0);
}
