import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { type Reported, report } from '../../src/cli/report.ts';
import { widthOf } from '../../src/cli/text.ts';
import { Histogram } from '../../src/metrics/histogram.ts';
import { setTerminalEnv } from './env.ts';

const pipe = { isTTY: false, columns: 0 };

function tallyOf(some: Partial<Reported> = {}): Reported {
  const durations = new Histogram();
  for (let ms = 1; ms <= 100; ms++) durations.record(ms);
  return {
    total: 100,
    pulled: 100,
    done: 100,
    completed: 100,
    failed: 0,
    retried: 0,
    skipped: 0,
    elapsedMs: 4_000,
    durations,
    slowest: [
      { input: '"src/a.ts"', ms: 1_200 },
      { input: '{"id":7}', ms: 99 },
    ],
    failures: [],
    ...some,
  };
}

const bad = tallyOf({
  done: 90,
  completed: 78,
  failed: 12,
  retried: 1_234,
  skipped: 10,
  slowest: [{ input: JSON.stringify(`${'folder/'.repeat(40)}ファイル.txt`), ms: 1_200 }],
  failures: [
    { input: JSON.stringify(`${'folder/'.repeat(40)}👩‍👧.txt`), message: `TypeError: it is ${'very '.repeat(80)}bad` },
    { input: '"b\\u001b[2J"', message: 'Expected \x1b[31mred\x1b[39m:\n\n  1 !== 2\n' },
  ],
});

describe('the report', () => {
  test('says what came of it, how long it took, and what took longest', () => {
    assert.equal(
      report(tallyOf(), { interrupted: false, terminal: pipe }),
      [
        'Inputs    100 of 100 done, 100 completed',
        'Took      4.0 s, 25/s',
        'Times     p50 51 ms  p90 91 ms  p95 95 ms  p99 99 ms  longest 100 ms',
        'Slowest   1.2 s  src/a.ts',
        '          99 ms  {"id":7}',
        '',
      ].join('\n'),
    );
  });

  test('says what went wrong, and of the failures the first', () => {
    const text = report(bad, { interrupted: true, terminal: pipe });
    assert.match(
      text,
      /^Inputs {4}90 of 100 done, interrupted, 78 completed, 12 failed, 10 not done, 10 skipped, 1,234 retried$/m,
    );
    // What the journal held didn't take any of the time.
    assert.match(text, /^Took {6}4\.0 s, 20\/s$/m);
    assert.match(text, /^Failed {4}folder\/.*….*\/👩‍👧\.txt {2}TypeError: it is very very .*…$/m);
    assert.match(text, /^ {10}b\\u001b\[2J {2,}Expected red: 1 !== 2$/m);
    assert.match(text, /^ {10}and 10 more\n$/m);
  });

  test('counts what was left of inputs whose number nobody knows', () => {
    const text = report(tallyOf({ total: undefined, done: 90 }), { interrupted: true, terminal: pipe });
    assert.match(text, /^Inputs {4}90 done, interrupted, 100 completed, 10 not done$/m);
  });

  test('says nothing of times and inputs where nothing ran', () => {
    const nothing = tallyOf({ total: 0, pulled: 0, done: 0, completed: 0, durations: new Histogram(), slowest: [] });
    const text = report(nothing, { interrupted: false, terminal: pipe });
    assert.equal(text, 'Inputs    0 of 0 done, 0 completed\nTook      4.0 s, 0/s\n');
  });

  for (const columns of [200, 80, 40, 20]) {
    test(`fits in ${columns} columns, with colors`, (t) => {
      setTerminalEnv(t, { TERM: 'xterm' });
      const text = report(bad, { interrupted: true, terminal: { isTTY: true, columns } });
      for (const line of text.split('\n')) assert.ok(widthOf(line) < columns, line);
      assert.ok(text.includes('\x1b[31m12 failed\x1b[39m'), text);
      const words = stripVTControlCharacters(text).replaceAll(/\s+/g, ' ');
      for (const word of ['10 not done', 'p99 99 ms', 'longest 100 ms', '1.2 s ', 'and 10 more']) {
        assert.ok(words.includes(word), text);
      }
    });
  }

  test('stays whole on a terminal of hardly any columns', (t) => {
    setTerminalEnv(t, { TERM: 'xterm', NO_COLOR: '1' });
    const text = report(bad, { interrupted: true, terminal: { isTTY: true, columns: 1 } });
    assert.match(text, /and 10 more\n$/);
  });

  test('has no colors where they are not wanted', (t) => {
    setTerminalEnv(t, { TERM: 'xterm', NO_COLOR: '1' });
    assert.ok(!report(bad, { interrupted: true, terminal: { isTTY: true, columns: 80 } }).includes('\x1b'));
    setTerminalEnv(t, { TERM: 'xterm' });
    assert.ok(!report(bad, { interrupted: true, terminal: pipe }).includes('\x1b'));
  });
});
