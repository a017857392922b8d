import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import picocolors from 'picocolors';
import { Progress, type Progressing, renderPlain, renderProgress } from '../../src/cli/progress.ts';
import { widthOf } from '../../src/cli/text.ts';
import { Histogram } from '../../src/metrics/histogram.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { setTerminalEnv } from './env.ts';
import { Screen } from './screen.ts';

const plain = picocolors.createColors(false);
const colored = picocolors.createColors(true);
const NOW = 63_000;

function durationsOf(...all: number[]): Histogram {
  const histogram = new Histogram();
  for (const ms of all) histogram.record(ms);
  return histogram;
}

function progressing(some: Partial<Progressing> = {}): Progressing {
  return {
    startedAt: 0,
    total: 2_000,
    done: 500,
    failed: 0,
    retried: 0,
    skipped: 0,
    running: 8,
    queued: 64,
    durations: durationsOf(10, 20, 300),
    rate: 50,
    ...some,
  };
}

/** All there can be. */
const busy = progressing({ failed: 3, retried: 7, skipped: 100 });

describe('the line', () => {
  test('has a bar, and all there is to say where there is room', () => {
    assert.equal(
      renderProgress(busy, 200, NOW, plain),
      ` ${'█'.repeat(7)}${'░'.repeat(23)}   25%    500/2,000  50/s  8 running  64 queued  3 failed  7 retried  100 skipped  p50 20 ms  p95 300 ms  ETA 30 s  1 min 3 s elapsed`,
    );
  });

  test('says what matters most where there is less of it', () => {
    assert.equal(
      renderProgress(busy, 80, NOW, plain),
      ` ${'█'.repeat(4)}${'░'.repeat(12)}   25%    500/2,000  50/s  8 running  3 failed  ETA 30 s`,
    );
    assert.equal(renderProgress(progressing(), 40, NOW, plain), ` ██░░░░░░   25%    500/2,000  ETA 30 s`);
    assert.equal(renderProgress(busy, 40, NOW, plain), ` ██░░░░░░   25%    500/2,000  3 failed`);
    assert.equal(renderProgress(busy, 20, NOW, plain), '  25%    500/2,000');
    assert.equal(renderProgress(busy, 10, NOW, plain), '   500/2…');
  });

  test('turns a wheel where nobody knows how many there are', () => {
    const tally = progressing({ total: undefined });
    const wheels = [0, 100, 200].map((now) => renderProgress(tally, 60, now, plain));
    assert.deepEqual(
      wheels.map((line) => line.slice(2)),
      Array(3).fill('  500 done  50/s  8 running  p50 20 ms  p95 300 ms'),
    );
    assert.equal(new Set(wheels.map((line) => line[1])).size, 3);
  });

  test('is one line that fits, whatever the figures and the width', () => {
    const figure = fc.nat({ max: 2 ** 40 });
    const tallies = fc.record({
      startedAt: fc.constant(0),
      total: fc.option(figure, { nil: undefined }),
      done: figure,
      failed: figure,
      retried: figure,
      skipped: figure,
      running: figure,
      queued: figure,
      durations: fc.array(fc.double({ min: 0, max: 1e7, noNaN: true })).map((all) => durationsOf(...all)),
      rate: fc.double({ min: 0, max: 1e6, noNaN: true }),
    });
    fc.assert(
      fc.property(tallies, fc.integer({ min: 2, max: 250 }), figure, (some, columns, now) => {
        const tally = { ...some, total: some.total && Math.max(some.total, some.done) };
        const line = renderProgress(tally, columns, now, colored);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: those are looked for
        assert.doesNotMatch(stripVTControlCharacters(line), /[\x00-\x1f]/);
        assert.ok(widthOf(line) <= Math.max(columns - 1, 2), `${widthOf(line)} of ${columns}: ${line}`);
      }),
    );
  });

  test('has colors only if it is given some', () => {
    assert.ok(!renderProgress(busy, 200, NOW, plain).includes('\x1b'));
    const line = renderProgress(busy, 200, NOW, colored);
    assert.equal(stripVTControlCharacters(line), renderProgress(busy, 200, NOW, plain));
    assert.ok(line.includes(picocolors.createColors(true).red('3 failed')));
  });

  test('foresees the end by the last seconds, else by all the time, else not', () => {
    const eta = (some: Partial<Progressing>): string =>
      /ETA (.*?)(?: {2}|$)/.exec(renderProgress(progressing(some), 200, NOW, plain))![1]!;
    assert.equal(eta({ done: 500, rate: 50 }), '30 s');
    assert.equal(eta({ done: 100, rate: 0 }), '19 min 57 s');
    // What the journal held says nothing of how long the rest takes.
    assert.equal(eta({ done: 500, skipped: 500, rate: 0 }), '–');
    assert.equal(eta({ done: 0, rate: 0 }), '–');
    assert.equal(eta({ done: 0, rate: 0, startedAt: NOW }), '–');
    assert.equal(eta({ done: 2_000, rate: 0 }), '0 s');
  });

  test('is full when there is nothing to do', () => {
    const tally = progressing({ total: 0, done: 0, rate: 0 });
    assert.match(renderProgress(tally, 80, NOW, plain), /^ █{16} {2}100% {2}0\/0 /);
  });

  test('is never full before the end', () => {
    const tally = progressing({ total: 1_000_000, done: 999_999 });
    assert.match(renderProgress(tally, 80, NOW, plain), /^ █{15}░ {3}99% /);
  });

  test('is words in a log', () => {
    assert.equal(
      renderPlain(busy, NOW),
      '25%, 500/2,000, 50/s, 8 running, 64 queued, 3 failed, 7 retried, 100 skipped, p50 20 ms, p95 300 ms, ETA 30 s, 1 min 3 s elapsed',
    );
  });
});

/** A terminal, and time that moves only here. */
function onTerminal(t: TestContext, columns: number): Screen {
  setTerminalEnv(t, { TERM: 'xterm', NO_COLOR: '1' });
  t.mock.timers.enable({ apis: ['setInterval'] });
  return new Screen(columns);
}

describe('on a terminal', () => {
  test('the line is drawn over ten times a second, and gone at the end', (t) => {
    const screen = onTerminal(t, 60);
    const tally = { ...progressing(), done: 0 };
    const progress = new Progress(screen, tally, { quiet: false });
    assert.equal(screen.written, '');
    for (let tenths = 1; tenths <= 20; tenths++) {
      tally.done = tenths * 100;
      const before: number = screen.written.length;
      t.mock.timers.tick(99);
      assert.equal(screen.written.length, before);
      t.mock.timers.tick(1);
      assert.match(screen.text, new RegExp(`^ [█░]{12}  ${String(tenths * 5).padStart(3)}%[^\n]*$`));
      assert.deepEqual([screen.row, screen.column, screen.wraps], [0, 0, true]);
    }
    progress.end();
    assert.equal(screen.text, '');
    const { written } = screen;
    t.mock.timers.tick(1_000);
    assert.equal(screen.written, written);
  });

  test('what is said stands above it', (t) => {
    const screen = onTerminal(t, 80);
    const progress = new Progress(screen, progressing(), { quiet: false });
    progress.say('before it is drawn');
    t.mock.timers.tick(100);
    progress.say('a text that takes two rows as it has more than the eighty columns of this terminal, by a bit');
    progress.say('two\nlines');
    assert.match(
      screen.text,
      /^before it is drawn\na text [^\n]{73}\n[^\n]* by a bit\ntwo\nlines\n [█░]{16} {3}25% [^\n]*$/,
    );
    progress.end();
    progress.say('after the end');
    assert.match(screen.text, /\nlines\nafter the end\n$/);
  });

  test('a key that was echoed is wiped out', (t) => {
    const screen = onTerminal(t, 80);
    const progress = new Progress(screen, progressing(), { quiet: false });
    t.mock.timers.tick(100);
    screen.write('^C');
    progress.say('Stopping');
    assert.match(screen.text, /^Stopping\n [█░]{16} /);
    screen.write('^C');
    t.mock.timers.tick(100);
    assert.match(screen.text, /^Stopping\n [█░]{16} /);
    screen.write('^C');
    progress.end();
    assert.equal(screen.text, 'Stopping\n');
  });

  test('others may write whole lines to it', (t) => {
    const screen = onTerminal(t, 80);
    const progress = new Progress(screen, progressing(), { quiet: false });
    t.mock.timers.tick(100);
    assert.equal(
      progress.around(() => screen.write('{"input":1}\n')),
      true,
    );
    assert.match(screen.text, /^\{"input":1\}\n [█░]{16} /);
  });

  test('a narrower or a wider one is seen at the next drawing', (t) => {
    const screen = onTerminal(t, 200);
    new Progress(screen, progressing(), { quiet: false });
    for (const [columns, bar] of [
      [200, 30],
      [40, 8],
      [20, 0],
      [80, 16],
    ] as const) {
      screen.columns = columns;
      t.mock.timers.tick(100);
      assert.match(screen.text, new RegExp(`^ [█░]{${bar}} +25% [^\n]*$`));
      assert.ok(widthOf(screen.text) < columns, screen.text);
    }
  });

  test('the line takes one row even if the terminal is narrower than it was told', (t) => {
    const screen = onTerminal(t, 30);
    const stream = { isTTY: true, columns: 80, write: (text: string) => screen.write(text) };
    new Progress(stream, progressing(), { quiet: false });
    t.mock.timers.tick(100);
    assert.equal(screen.text.split('\n').length, 1);
    assert.equal(screen.wraps, true);
  });

  test('one that knows no width is taken for 80 columns', (t) => {
    const screen = onTerminal(t, 80);
    const stream = { isTTY: true, columns: 0, write: (text: string) => screen.write(text) };
    new Progress(stream, progressing(), { quiet: false });
    t.mock.timers.tick(100);
    assert.match(screen.text, /^ [█░]{16} /);
  });

  test('nothing said commands it', (t) => {
    const screen = onTerminal(t, 80);
    const progress = new Progress(screen, progressing(), { quiet: true });
    progress.say('\x1b]0;title\x07\x1b[2J\x9b2J\rover \x1b[31mred');
    assert.equal(screen.written, '\\u000dover red\n');
  });

  test('it has colors unless they are not wanted', (t) => {
    const screen = onTerminal(t, 80);
    setTerminalEnv(t, { TERM: 'xterm' });
    new Progress(screen, progressing(), { quiet: false });
    t.mock.timers.tick(100);
    assert.ok(screen.written.includes('\x1b[32m█'));
  });

  test('with quiet, only what is said is shown', (t) => {
    const screen = onTerminal(t, 80);
    const progress = new Progress(screen, progressing(), { quiet: true });
    t.mock.timers.tick(60_000);
    progress.say('hello');
    progress.end();
    assert.equal(screen.written, 'hello\n');
  });

  test('nothing is left behind: no timer, no listener, no hidden cursor', async (t) => {
    setTerminalEnv(t, { TERM: 'xterm' });
    const screen = new Screen(80); // which refuses commands it doesn't know
    await withLeakCheck(() => {
      const progress = new Progress(screen, progressing(), { quiet: false });
      progress.say('hello');
      progress.end();
    })();
    assert.equal(screen.text, 'hello\n');
  });
});

for (const [where, stream, env] of [
  ['in a pipe', { isTTY: undefined }, { TERM: 'xterm' }],
  ['on a terminal that is dumb', { isTTY: true, columns: 80 }, { TERM: 'dumb' }],
] as const) {
  test(`${where} there is a plain line every five seconds`, (t) => {
    setTerminalEnv(t, env);
    t.mock.timers.enable({ apis: ['setInterval'] });
    const writes: string[] = [];
    const write = (text: string): boolean => writes.push(text) > 0;
    const progress = new Progress({ ...stream, write } as unknown as Screen, progressing(), { quiet: false });
    t.mock.timers.tick(4_999);
    assert.deepEqual(writes, []);
    t.mock.timers.tick(10_001);
    assert.equal(writes.length, 3);
    for (const line of writes) assert.match(line, /^25%, 500\/2,000, 50\/s, .* elapsed\n$/);
    progress.say('hello');
    progress.end();
    t.mock.timers.tick(10_000);
    assert.deepEqual(writes.slice(3), ['hello\n']);
  });

  test(`${where} there is none with quiet`, (t) => {
    setTerminalEnv(t, env);
    t.mock.timers.enable({ apis: ['setInterval'] });
    const writes: string[] = [];
    const write = (text: string): boolean => writes.push(text) > 0;
    const progress = new Progress({ ...stream, write } as unknown as Screen, progressing(), { quiet: true });
    t.mock.timers.tick(60_000);
    progress.end();
    assert.deepEqual(writes, []);
  });
}
