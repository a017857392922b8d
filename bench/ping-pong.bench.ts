/** What does a hand-over cost between two loops that answer each other over two unbuffered channels? */
import { Effect, Fiber, Queue } from 'effect';
import { checkSum, LINES, type Line } from './lib/channels.ts';
import { ratio, type Suite } from './lib/suite.ts';

const HAND_OVERS = 100_000;

export const suite: Suite = {
  name: 'ping-pong',
  question: 'a hand-over, there on one unbuffered channel and back on another',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('a hand-over / the floor', 'errand', 'floor', [1.5]),
    ratio('a hand-over / @thi.ng/csp', 'errand', '@thi.ng/csp', [1]),
    ratio('a hand-over / async-channel', 'errand', 'async-channel', [1]),
    ratio('a hand-over / effect Queue', 'errand', 'effect', [1]),
    ratio('a hand-over / a bare promise, sends not awaited', 'errand', 'bare'),
  ],
  async setUp({ size }) {
    const tasks = size(HAND_OVERS);
    const cases = [
      ...LINES.map(([name, create]) => ({ name, tasks, run: () => play(create(0), create(0), tasks / 2) })),
      { name: 'effect', tasks, run: () => playInFibers(tasks / 2) },
      { name: 'bare', tasks, run: () => playBare(tasks / 2) },
    ];
    return { cases };
  },
};

async function play(there: Line, back: Line, rallies: number): Promise<void> {
  async function ping(): Promise<void> {
    let sum = 0;
    for (let i = 0; i < rallies; i++) {
      await there.send(i);
      sum += back.read(await back.receive());
    }
    checkSum(sum, rallies);
  }
  async function pong(): Promise<void> {
    for (let i = 0; i < rallies; i++) await back.send(there.read(await there.receive()));
  }
  await Promise.all([ping(), pong()]);
}

/** Without channels: each loop awaits only the other's answer, whose promise it has made before it plays. */
async function playBare(rallies: number): Promise<void> {
  let toPing: (value: number) => void = () => {};
  let toPong: (value: number) => void = () => {};
  async function pong(): Promise<void> {
    for (let i = 0; i < rallies; i++) {
      const value = await new Promise<number>((resolve) => {
        toPong = resolve;
      });
      toPing(value);
    }
  }
  async function ping(): Promise<void> {
    let sum = 0;
    for (let i = 0; i < rallies; i++) {
      const answer = new Promise<number>((resolve) => {
        toPing = resolve;
      });
      toPong(i);
      sum += await answer;
    }
    checkSum(sum, rallies);
  }
  await Promise.all([pong(), ping()]);
}

function playInFibers(rallies: number): Promise<void> {
  const program = Effect.gen(function* () {
    const there = yield* Queue.bounded<number>(0);
    const back = yield* Queue.bounded<number>(0);
    const pong = yield* Effect.forkChild(
      Effect.gen(function* () {
        for (let i = 0; i < rallies; i++) yield* Queue.offer(back, yield* Queue.take(there));
      }),
    );
    let sum = 0;
    for (let i = 0; i < rallies; i++) {
      yield* Queue.offer(there, i);
      sum += yield* Queue.take(back);
    }
    checkSum(sum, rallies);
    yield* Fiber.join(pong);
  });
  return Effect.runPromise(program);
}
