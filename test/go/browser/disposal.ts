/** What `using` does; only where there is `Symbol.dispose`. */
import {
  background,
  ErrGroup,
  Mutex,
  RWMutex,
  Semaphore,
  Ticker,
  Timer,
  WaitGroup,
  withCancel,
  withCancelCause,
} from 'errand/go';
import { type Checks, equal, nextTurn } from './check.ts';

export const disposal: Checks = {
  '`using` gives back locks and permits': async () => {
    const [mutex, shared, semaphore] = [new Mutex(), new RWMutex(), new Semaphore(3)];
    {
      using _lock = await mutex.lock();
      using _reading = await shared.readLock();
      using _permits = await semaphore.acquire(2);
      equal([mutex.locked, shared.tryLock(), semaphore.available], [true, undefined, 1]);
    }
    equal([mutex.locked, shared.tryLock() !== undefined, semaphore.available], [false, true, 3]);
  },

  '`using` ends contexts and timers': async () => {
    const timer = new Timer(3_600_000);
    const ticker = new Ticker(3_600_000);
    const [plain, cancelPlain] = withCancel(background());
    const [told, cancelTold] = withCancelCause(background());
    {
      using _plain = cancelPlain;
      using _told = cancelTold;
      using _timer = timer;
      using _ticker = ticker;
      equal([plain.err, told.err], [undefined, undefined]);
    }
    equal([plain.err?.name, told.err?.name, timer.stop()], ['AbortError', 'AbortError', false]);
  },

  '`await using` joins groups': async () => {
    const done: string[] = [];
    {
      await using group = new ErrGroup();
      await using waitGroup = new WaitGroup();
      await group.go(async () => {
        await nextTurn();
        done.push('group');
      });
      void waitGroup.go(async () => {
        await nextTurn();
        done.push('wait group');
      });
    }
    equal(done.sort(), ['group', 'wait group']);
  },
};
