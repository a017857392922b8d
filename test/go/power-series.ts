/**
 * Power series as networks of processes and channels, after the oldest program of its kind: McIlroy's, which has tested
 * Go's channels from the beginning.
 */
import { Channel, Mutex } from '../../src/go/index.ts';

type Rational = readonly [numerator: bigint, denominator: bigint];

/** The coefficients of a power series, which never ends: each is made when it is asked for. */
interface Series {
  readonly asked: Channel<void>;
  readonly given: Channel<Rational>;
}

export const ZERO: Rational = [0n, 1n];
export const ONE: Rational = [1n, 1n];

function reduced(numerator: bigint, denominator: bigint): Rational {
  let [a, b] = [numerator < 0n ? -numerator : numerator, denominator];
  while (b !== 0n) [a, b] = [b, a % b];
  return [numerator / a, denominator / a];
}
const plus = ([a, b]: Rational, [c, d]: Rational) => reduced(a * d + c * b, b * d);
const times = ([a, b]: Rational, [c, d]: Rational) => reduced(a * c, b * d);
const show = ([a, b]: Rational) => (b === 1n ? `${a}` : `${a}/${b}`);

async function next({ asked, given }: Series): Promise<Rational> {
  await asked.send();
  return (await given.receive()).value!;
}

export async function first(input: Series, count: number): Promise<string[]> {
  const shown: string[] = [];
  while (shown.length < count) shown.push(show(await next(input)));
  return shown;
}

/** A series made by a process of its own, which waits for ever when nobody asks any more. */
function series(coefficients: () => AsyncGenerator<Rational>): Series {
  const made: Series = { asked: new Channel(), given: new Channel() };
  const source = coefficients();
  void (async () => {
    for await (const _ of made.asked) await made.given.send((await source.next()).value);
  })();
  return made;
}

/** These coefficients, and the last one for ever. */
export function constant(...coefficients: Rational[]): Series {
  return series(async function* () {
    for (let n = 0; ; n++) yield coefficients[Math.min(n, coefficients.length - 1)]!;
  });
}

function map(input: Series, change: (coefficient: Rational, n: bigint) => Rational): Series {
  return series(async function* () {
    for (let n = 0n; ; n++) yield change(await next(input), n);
  });
}

export function add(a: Series, b: Series): Series {
  return series(async function* () {
    for (;;) yield plus(await next(a), await next(b));
  });
}

/** One coefficient before all the others. */
function before(head: Rational, tail: Series): Series {
  return series(async function* () {
    yield head;
    for (;;) yield await next(tail);
  });
}

/** The same series twice, each read at its own pace. */
function split(input: Series): [Series, Series] {
  const queues: [Rational[], Rational[]] = [[], []];
  const reading = new Mutex();
  const side = (mine: Rational[]) =>
    series(async function* () {
      for (;;) {
        if (mine.length === 0) {
          using _ = await reading.lock();
          if (mine.length === 0) {
            const coefficient = await next(input);
            for (const queue of queues) queue.push(coefficient);
          }
        }
        yield mine.shift()!;
      }
    });
  return [side(queues[0]), side(queues[1])];
}

/** (a + xA)(b + xB) = ab + x(aB + bA + xAB). */
export function multiply(left: Series, right: Series): Series {
  return series(async function* () {
    const [a, b] = [await next(left), await next(right)];
    yield times(a, b);
    const [A, A2] = split(left);
    const [B, B2] = split(right);
    const outer = add(
      map(B, (coefficient) => times(a, coefficient)),
      map(A, (coefficient) => times(b, coefficient)),
    );
    yield next(outer);
    const rest = add(outer, multiply(A2, B2));
    for (;;) yield next(rest);
  });
}

export function differentiate(input: Series): Series {
  return series(async function* () {
    await next(input);
    const rest = map(input, (coefficient, n) => times(coefficient, [n + 1n, 1n]));
    for (;;) yield next(rest);
  });
}

function integrate(head: Rational, input: Series): Series {
  return before(
    head,
    map(input, (coefficient, n) => times(coefficient, [1n, n + 1n])),
  );
}

/** What solves S = f(S), where f asks for a coefficient only to make a later one. */
function solve(f: (self: Series) => Series): Series {
  const loop: Series = { asked: new Channel(), given: new Channel() };
  const [out, back] = split(loop);
  const made = f(back);
  void (async () => {
    for await (const _ of loop.asked) await loop.given.send(await next(made));
  })();
  return out;
}

export function exp(input: Series): Series {
  return solve((self) => integrate(ONE, multiply(self, differentiate(input))));
}

/** tan' = 1 + tan². */
export function tan(): Series {
  return solve((self) => integrate(ZERO, add(constant(ONE, ZERO), multiply(...split(self)))));
}
