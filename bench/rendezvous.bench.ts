/** What does a hand-over cost from a loop that only sends to one that only receives, over an unbuffered channel? */
import { Effect, Fiber, Queue } from 'effect';
import { checkSum, LINES, type Line } from './lib/channels.ts';
import { ratio, type Suite } from './lib/suite.ts';

const HAND_OVERS = 100_000;

/** Loops in step stay as they began: each value finds a receiver that waits for it, or each receiver a sender. */
const WAITING = ['receiver', 'sender'] as const;
type Waiting = (typeof WAITING)[number];

export const suite: Suite = {
  name: 'rendezvous',
  question: 'a hand-over, one way on an unbuffered channel',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: WAITING.flatMap((waiting) => [
    ratio(`the ${waiting} waits / the floor`, `${waiting}, errand`, `${waiting}, floor`, [1.5]),
    ratio('the same / @thi.ng/csp', `${waiting}, errand`, `${waiting}, @thi.ng/csp`, [1]),
    ratio('the same / async-channel', `${waiting}, errand`, `${waiting}, async-channel`, [1]),
    ratio('the same / effect Queue', `${waiting}, errand`, 'effect', [1]),
  ]),
  async setUp({ size }) {
    const tasks = size(HAND_OVERS);
    const cases = [
      ...WAITING.flatMap((waiting) =>
        LINES.map(([name, create]) => ({
          name: `${waiting}, ${name}`,
          tasks,
          run: () => handOver(create(0), tasks, waiting),
        })),
      ),
      { name: 'effect', tasks, run: () => handOverInFibers(tasks) },
    ];
    return { cases };
  },
};

async function handOver(line: Line, values: number, waiting: Waiting): Promise<void> {
  async function produce(): Promise<void> {
    for (let i = 0; i < values; i++) await line.send(i);
  }
  async function consume(): Promise<void> {
    let sum = 0;
    for (let i = 0; i < values; i++) sum += line.read(await line.receive());
    checkSum(sum, values);
  }
  await Promise.all(waiting === 'receiver' ? [consume(), produce()] : [produce(), consume()]);
}

/** Here the scheduler decides who comes first. */
function handOverInFibers(values: number): Promise<void> {
  const program = Effect.gen(function* () {
    const queue = yield* Queue.bounded<number>(0);
    const producer = yield* Effect.forkChild(
      Effect.gen(function* () {
        for (let i = 0; i < values; i++) yield* Queue.offer(queue, i);
      }),
    );
    let sum = 0;
    for (let i = 0; i < values; i++) sum += yield* Queue.take(queue);
    checkSum(sum, values);
    yield* Fiber.join(producer);
  });
  return Effect.runPromise(program);
}
