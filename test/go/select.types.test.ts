/** What the compiler must think of a select: `npx tsc` fails here if its cases are no longer told apart. */
import { test } from 'node:test';
import {
  after,
  background,
  Channel,
  type ReceiveChannel,
  type Received,
  receive,
  type SendChannel,
  select,
  send,
} from '../../src/go/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;

const numbers = new Channel<number>(1);
const output: SendChannel<number> = numbers;
const input: ReceiveChannel<number> = numbers;
const perhaps = numbers as Channel<number> | undefined;

async function everyCase() {
  return select({
    got: receive(perhaps),
    bare: input,
    sent: send(output, 1),
    late: after(1),
    quit: background(),
    gone: new AbortController().signal,
    default: 'nothing' as const,
  });
}
type Result = Awaited<ReturnType<typeof everyCase>>;
type Of<Name extends Result['case']> = Omit<Extract<Result, { case: Name }>, 'case'>;

export type Checks = [
  Expect<Equal<Result['case'], 'got' | 'bare' | 'sent' | 'late' | 'quit' | 'gone' | 'default'>>,
  Expect<Equal<Extract<Result, { case: 'got' }>['value'], Received<number>['value']>>,
  Expect<Equal<Extract<Result, { case: 'got'; ok: true }>['value'], number>>,
  Expect<Equal<Extract<Result, { case: 'bare'; ok: true }>['value'], number>>,
  Expect<Equal<Extract<Result, { case: 'late'; ok: true }>['value'], number>>,
  Expect<Equal<Of<'sent'>['value'], undefined>>,
  Expect<Equal<Of<'quit'>['value'], unknown>>,
  Expect<Equal<Of<'gone'>['value'], unknown>>,
  Expect<Equal<Of<'default'>['value'], 'nothing'>>,
];

export function checks(): void {
  // @ts-expect-error a value of another type
  send(numbers, 'one');
  // @ts-expect-error the same, in its place
  void select({ sent: send(output, 'one') });
  // @ts-expect-error a number is no case
  void select({ sent: 1 });
  // @ts-expect-error nor is any object
  void select({ sent: new Date() });
}

test('the types of a select are as this file says: checked by tsc', () => {});
