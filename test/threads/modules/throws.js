// All that can be thrown.
import { readFileSync } from 'node:fs';
import { CanceledError, DeadlineExceededError } from 'errand/go';

class OrderError extends Error {
  name = 'OrderError';
  constructor(message, options) {
    super(message, options);
    this.code = 'E_ORDER';
    this.order = { id: 7, lines: ['a', 'b'] };
  }
}

class Inherited extends TypeError {
  get name() {
    return 'Inherited';
  }
}

function ring() {
  const one = new Error('one');
  const two = new Error('two', { cause: one });
  one.cause = two;
  return one;
}

function chain(length) {
  let error = new Error('0');
  for (let i = 1; i < length; i++) error = new Error(String(i), { cause: error });
  return error;
}

function selfish() {
  const error = new AggregateError([], 'selfish');
  for (let i = 0; i < 20; i++) error.errors.push(error);
  return error;
}

const MADE = {
  plain: () => new Error('plain'),
  range: () => new RangeError('out of it'),
  custom: () => new OrderError('no such order', { cause: new TypeError('the root', { cause: 'a text' }) }),
  inherited: () => new Inherited('named by a getter'),
  system: () => {
    try {
      readFileSync('/no such file');
    } catch (error) {
      return error;
    }
  },
  aggregate: () => new AggregateError([new RangeError('first'), 'second', new OrderError('third')], 'all of them'),
  dom: () => new DOMException('not allowed', 'NotAllowedError'),
  abort: () => AbortSignal.abort().reason,
  canceled: () => new CanceledError('ours', { cause: 'why' }),
  deadline: () => new DeadlineExceededError('too late'),
  axios: () => Object.assign(new Error('canceled'), { name: 'CanceledError', code: 'ERR_CANCELED' }),
  text: () => 'just a text',
  number: () => 7,
  nothing: () => undefined,
  null: () => null,
  object: () => ({ status: 404, headers: new Map([['a', 'b']]) }),
  symbol: () => Symbol('thrown'),
  fn: () => function thrown() {},
  ring,
  chain: () => chain(100),
  long: () => chain(100_000),
  selfish,
  props: () =>
    Object.assign(new Error('props'), {
      ok: [1, { deep: true }],
      fn: () => {},
      symbol: Symbol('x'),
      response: { send() {} },
      date: new Date(7),
    }),
  proxy: () =>
    new Proxy(new Error('behind a proxy'), {
      get() {
        throw new Error('hands off');
      },
    }),
  getters: () =>
    Object.defineProperties(new Error('getters'), {
      message: {
        get() {
          throw new Error('no message');
        },
      },
    }),
  fickle: () => {
    let reads = 0;
    return Object.defineProperty(new Error('fickle'), 'data', {
      enumerable: true,
      value: {
        get value() {
          if (++reads > 1) throw new Error('only once');
          return 'once';
        },
      },
    });
  },
  unnamed: () => Object.assign(new Error('unnamed'), { name: undefined }),
  oddName: () => Object.assign(new Error('odd'), { name: Symbol('odd') }),
  noStack: () => {
    const error = new Error('no stack');
    delete error.stack;
    error.stack = undefined;
    return error;
  },
  oddCause: () => new Error('odd cause', { cause: { not: 'an error', fn: () => {} } }),
  noPrototype: () => Object.create(null, { text: { value: 'bare', enumerable: true } }),
  unprintable: () => ({
    fn: () => {},
    toString() {
      throw new Error('unprintable');
    },
  }),
  big: () => Object.assign(new Error('big'), { data: new Uint8Array(1_000_000) }),
};

export function fail(kind) {
  throw MADE[kind]();
}

export async function failLater(kind) {
  await null;
  throw MADE[kind]();
}

export function* failInStream(kind) {
  yield 1;
  throw MADE[kind]();
}

export function reject(kind) {
  return {
    then(_, reject) {
      reject(MADE[kind]());
    },
  };
}

export function badThen() {
  return {
    get then() {
      throw new Error('a broken then');
    },
  };
}

export class Class {}
