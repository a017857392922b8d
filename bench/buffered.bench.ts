/** What does a value cost that goes through a channel with a buffer to a `for await` loop? */
import { Effect, Queue } from 'effect';
import { checkSum, LINES, type Line } from './lib/channels.ts';
import { ratio, type Suite } from './lib/suite.ts';

const VALUES = 100_000;
const CAPACITY = 100;

export const suite: Suite = {
  name: 'buffered',
  question: `a value through a channel with capacity ${CAPACITY} to a for await loop`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('a value / the floor', 'errand', 'floor', [1.5]),
    ratio('a value / @thi.ng/csp', 'errand', '@thi.ng/csp', [1]),
    ratio('a value / async-channel', 'errand', 'async-channel', [1]),
    ratio('a value / effect Queue', 'errand', 'effect', [1]),
  ],
  async setUp({ size }) {
    const tasks = size(VALUES);
    const cases = [
      ...LINES.map(([name, create]) => ({ name, tasks, run: () => stream(create(CAPACITY), tasks) })),
      { name: 'effect', tasks, run: () => streamInFibers(tasks) },
    ];
    return { cases };
  },
};

async function stream(line: Line, values: number): Promise<void> {
  async function produce(): Promise<void> {
    for (let i = 0; i < values; i++) await line.send(i);
    line.close();
  }
  async function consume(): Promise<void> {
    let sum = 0;
    for await (const value of line.values) sum += value;
    checkSum(sum, values);
  }
  await Promise.all([produce(), consume()]);
}

/** A fiber's loop takes one value at a time too, until it has them all. */
function streamInFibers(values: number): Promise<void> {
  const program = Effect.gen(function* () {
    const queue = yield* Queue.bounded<number>(CAPACITY);
    yield* Effect.forkChild(
      Effect.gen(function* () {
        for (let i = 0; i < values; i++) yield* Queue.offer(queue, i);
      }),
    );
    let sum = 0;
    for (let i = 0; i < values; i++) sum += yield* Queue.take(queue);
    checkSum(sum, values);
  });
  return Effect.runPromise(program);
}
