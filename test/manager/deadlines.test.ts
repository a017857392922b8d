import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deadline, Deadlines } from '../../src/manager/deadlines.ts';
import { VirtualClock } from '../../src/testing/index.ts';

function setUp(): {
  clock: VirtualClock;
  deadlines: Deadlines;
  fired: string[];
  at: (name: string) => Deadline<string>;
} {
  const clock = new VirtualClock();
  const fired: string[] = [];
  return {
    clock,
    deadlines: new Deadlines(clock),
    fired,
    at: (name) => new Deadline(name, (owner) => fired.push(owner)),
  };
}

test('a deadline fires once its time has come, and not before', async () => {
  const { clock, deadlines, fired, at } = setUp();
  deadlines.set(at('a'), 100, clock.now());
  await clock.advance(99);
  assert.deepEqual(fired, []);
  await clock.advance(1);
  assert.deepEqual(fired, ['a']);
  await clock.advance(1_000);
  assert.deepEqual(fired, ['a']);
});

test('deadlines fire in the order in which they fall due, whatever their durations', async () => {
  const { clock, deadlines, fired, at } = setUp();
  deadlines.set(at('300'), 300, clock.now());
  deadlines.set(at('100'), 100, clock.now());
  await clock.advance(50);
  deadlines.set(at('50+100'), 100, clock.now());
  deadlines.set(at('50+200'), 200, clock.now());
  await clock.advance(300);
  assert.deepEqual(fired, ['100', '50+100', '50+200', '300']);
});

test('a deadline that was lifted never fires, be it the first, the last or one between', async () => {
  const { clock, deadlines, fired, at } = setUp();
  const all = ['a', 'b', 'c', 'd', 'e'].map(at);
  for (const deadline of all) deadlines.set(deadline, 100, clock.now());
  for (const index of [0, 2, 4]) deadlines.lift(all[index]!);
  await clock.advance(100);
  assert.deepEqual(fired, ['b', 'd']);
});

test('lifting what is not set is harmless', async () => {
  const { clock, deadlines, fired, at } = setUp();
  const deadline = at('a');
  deadlines.lift(deadline);
  deadlines.set(deadline, 10, clock.now());
  await clock.advance(10);
  deadlines.lift(deadline);
  assert.deepEqual(fired, ['a']);
});

test('a deadline can be set again after it fired or was lifted', async () => {
  const { clock, deadlines, fired, at } = setUp();
  const deadline = at('a');
  deadlines.set(deadline, 10, clock.now());
  deadlines.lift(deadline);
  deadlines.set(deadline, 20, clock.now());
  await clock.advance(20);
  assert.deepEqual(fired, ['a']);
  deadlines.set(deadline, 20, clock.now());
  await clock.advance(20);
  assert.deepEqual(fired, ['a', 'a']);
});

test('a deadline set from within another one counts from there', async () => {
  const { clock, deadlines, fired, at } = setUp();
  const second = at('second');
  const first = new Deadline('first', (owner) => {
    fired.push(owner);
    deadlines.set(second, 10, clock.now());
  });
  deadlines.set(first, 10, clock.now());
  await clock.advance(10);
  assert.deepEqual(fired, ['first']);
  await clock.advance(10);
  assert.deepEqual(fired, ['first', 'second']);
});

test('thousands of deadlines of one duration share a timer', () => {
  const { clock, deadlines, at } = setUp();
  for (let i = 0; i < 5_000; i++) deadlines.set(at(String(i)), 100, clock.now());
  assert.equal(clock.timerCount, 1);
});

test('durations that are over and done with hold no timers, however many there were', async () => {
  const { clock, deadlines, fired, at } = setUp();
  for (let i = 0; i < 5_000; i++) {
    const deadline = at(String(i));
    deadlines.set(deadline, 60_000 + i / 7, clock.now());
    deadlines.lift(deadline);
  }
  assert.ok(clock.timerCount <= 100, `${clock.timerCount} timers`);
  await clock.advance(100_000);
  assert.deepEqual(fired, []);
  assert.equal(clock.timerCount, 0);
});

test('a duration longer than a timer can be is kept to the end', async () => {
  const { clock, deadlines, fired, at } = setUp();
  const ms = 2 ** 31 + 1_000_000;
  deadlines.set(at('a'), ms, clock.now());
  await clock.advance(ms - 1);
  assert.deepEqual(fired, []);
  await clock.advance(1);
  assert.deepEqual(fired, ['a']);
});

test('close lifts all, and leaves no timer', async () => {
  const { clock, deadlines, fired, at } = setUp();
  for (let i = 0; i < 10; i++) deadlines.set(at(String(i)), 10 * (1 + (i % 3)), clock.now());
  deadlines.close();
  assert.equal(clock.timerCount, 0);
  await clock.advance(100);
  assert.deepEqual(fired, []);
});

test('close from within a deadline fires nothing more', async () => {
  const { clock, deadlines, fired, at } = setUp();
  deadlines.set(new Deadline('closing', () => deadlines.close()), 10, clock.now());
  deadlines.set(at('after'), 10, clock.now());
  await clock.advance(100);
  assert.deepEqual(fired, []);
  assert.equal(clock.timerCount, 0);
});
