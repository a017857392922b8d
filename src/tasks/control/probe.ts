/** Whether workers answer: a task of no work for each of a manager's, and how many have done theirs in time. */
import type { Clock } from '../../go/clock.ts';
import { CanceledError } from '../../go/errors.ts';
import { HandleReceiver } from '../../manager/handle.ts';
import type { TaskManager } from '../../manager/manager.ts';
import { sleep } from '../../manager/resources.ts';
import { schedulerOf } from '../../manager/submitter.ts';

/** The workers of one manager, and how many of them have answered. */
export interface WorkersAnswered {
  /** How many there are. */
  readonly workers: number;
  /** Those that are busy all the time can't: they aren't broken for that. */
  readonly answered: number;
}

/** Asks all workers of a manager. What hasn't had its turn in time is taken back, so that nothing piles up. */
export async function probe(manager: TaskManager<unknown>, timeoutMs: number, clock: Clock): Promise<WorkersAnswered> {
  const scheduler = manager[schedulerOf];
  const { baseWorkers, burstWorkers } = manager.stats();
  let answered = 0;
  const receivers: HandleReceiver<void>[] = [];
  for (const worker of [...scheduler.crew.workers]) {
    if (scheduler.ending) break;
    const receiver = new HandleReceiver<void>(scheduler);
    scheduler.submission.pinned(receiver, () => void answered++, worker);
    receivers.push(receiver);
  }
  const over = new AbortController();
  const all = Promise.allSettled(receivers.map(({ result }) => result));
  await Promise.race([all, sleep(over.signal, timeoutMs, clock).catch(() => {})]);
  over.abort();
  const reason = new CanceledError('the worker was busy all the time that it had to answer');
  for (const receiver of receivers) receiver.cancel(reason);
  return { workers: baseWorkers + burstWorkers, answered };
}
