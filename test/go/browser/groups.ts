import { background, ErrGroup, Once, onceValue, SingleFlight, sleep, WaitGroup } from 'errand/go';
import { type Checks, equal, failureOf, nextTurn } from './check.ts';

export const groups: Checks = {
  'a group of functions gives their values, under its limit': async () => {
    const group = new ErrGroup();
    group.setLimit(2);
    let running = 0;
    let most = 0;
    const work = (value: number) => async () => {
      most = Math.max(most, ++running);
      await nextTurn();
      running--;
      return value;
    };
    equal(await group.goAll([1, 2, 3, 4].map(work)), [1, 2, 3, 4]);
    equal([most, group.tryGo(work(5))], [2, true]);
    await group.wait();
  },

  'the first error of a group ends the others, and is the error of all': async () => {
    const [group, ctx] = ErrGroup.withContext(background());
    let reason: unknown;
    await group.go(async () => {
      reason = await failureOf(sleep(3_600_000, ctx));
    });
    await group.go(() => Promise.reject('broken'));
    equal([await failureOf(group.wait()), reason, ctx.cause], ['broken', 'broken', 'broken']);
  },

  'a wait group waits for all': async () => {
    const group = new WaitGroup();
    const done: string[] = [];
    group.add();
    void group.go(async () => {
      await nextTurn();
      done.push('function');
    });
    setTimeout(() => {
      done.push('timer');
      group.done();
    }, 10);
    await group.wait();
    equal(done, ['function', 'timer']);
  },

  'once is once': async () => {
    const once = new Once();
    let count = 0;
    await Promise.all([once.do(() => count++), once.do(() => count++)]);
    equal([count, once.done], [1, true]);
    const next = onceValue(() => ++count);
    equal([next(), next(), count], [2, 2, 2]);
  },

  'who asks for what is on its way shares it': async () => {
    const flight = new SingleFlight();
    let calls = 0;
    const load = async () => {
      await nextTurn();
      return ++calls;
    };
    const both = [flight.do('key', load), flight.do('key', load)];
    equal(await Promise.all(both), [
      { value: 1, shared: true },
      { value: 1, shared: true },
    ]);
    equal(await flight.do('key', load), { value: 2, shared: false });
  },
};
