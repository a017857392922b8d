/** A worker pool: a few workers share one channel of jobs; the same by a group; and the same with a TaskManager. */
import { TaskManager } from 'errand';
import { Channel, ErrGroup, sleep, WaitGroup } from 'errand/go';

const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9];

let busy = 0;
let most = 0;
async function square(n: number): Promise<number> {
  most = Math.max(most, ++busy);
  await sleep(n % 3);
  busy--;
  return n * n;
}

function report(how: string, squares: readonly number[]): void {
  console.log(`${how}: ${squares.join(' ')}, ${most} at a time`);
  most = 0;
}

// 1. By hand, as in Go: results come in the order in which they are ready. Worth it when a worker keeps something
// between its jobs, such as a connection.
{
  const jobs = Channel.from(numbers);
  const results = new Channel<number>();
  const workers = new WaitGroup();
  for (let i = 0; i < 3; i++) {
    void workers.go(async () => {
      for await (const n of jobs) await results.send(await square(n));
    });
  }
  void workers.wait().then(() => results.close());
  report(
    'channels',
    (await results.toArray()).sort((a, b) => a - b),
  );
}

// 2. In two lines, with results in order, and the first error if there is one.
{
  const group = new ErrGroup();
  group.setLimit(3);
  report('group', await group.goAll(numbers.map((n) => () => square(n))));
}

// 3. On a manager's workers, each with its resource, if it has one: by priority, with retries, timeouts and figures.
{
  await using manager = new TaskManager({ workerCount: 3, maxWorkerCount: 3 });
  report('manager', await manager.group().goAll(numbers.map((n) => () => square(n))));
}
