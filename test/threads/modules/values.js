// What can't be sent, or not be read.
export function echo(...args) {
  return args;
}

const MADE = {
  fn: () => () => {},
  symbol: () => Symbol('here'),
  promise: () => ({ later: Promise.resolve(1) }),
  weak: () => new WeakMap(),
  proxy: () => new Proxy({}, {}),
  getter: () => ({
    get broken() {
      throw new RangeError('a broken getter');
    },
  }),
  iterator: () => [1, 2][Symbol.iterator](),
  generator: () =>
    (function* () {
      yield 1;
    })(),
  self: () => globalThis,
};

export function make(kind) {
  return MADE[kind]();
}

export async function makeLater(kind) {
  await null;
  return MADE[kind]();
}

export function* makeEach(kind) {
  yield 1;
  yield MADE[kind]();
}

export function* makeAtEnd(kind) {
  yield 1;
  return MADE[kind]();
}

/** So many arrays in one another. */
export function deep(levels) {
  let value = [];
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}
