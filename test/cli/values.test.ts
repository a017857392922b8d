import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../src/cli/usage-error.ts';
import { parseCount, parseDuration, parseRate } from '../../src/cli/values.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

/** Each of them refused, with the flag and the text named. */
function refuses(parse: (text: string) => unknown, texts: readonly string[]): void {
  for (const text of texts) {
    assert.throws(
      () => parse(text),
      (error: unknown) => {
        assert.ok(error instanceof UsageError, text);
        assert.ok(error.message.startsWith('--flag takes '), error.message);
        assert.ok(error.message.endsWith(`, not ${JSON.stringify(text)}`), error.message);
        return true;
      },
      text,
    );
  }
}

test(
  'a time has a unit, or is in ms',
  withLeakCheck(() => {
    for (const [text, ms] of [
      ['250', 250],
      ['250ms', 250],
      ['0.5ms', 0.5],
      ['5s', 5_000],
      ['1.5m', 90_000],
      ['2h', 7_200_000],
      [' 5 s ', 5_000],
    ] as const) {
      assert.equal(parseDuration('--flag', text), ms, text);
    }
    refuses(
      (text) => parseDuration('--flag', text),
      ['', '0', '0s', '-1s', 's', '5 seconds', '5S', '1e3', '.5s', '1m30s', 'NaN', 'Infinity', '0x10'],
    );
  }),
);

test(
  'a rate is a count in a time, or a second',
  withLeakCheck(() => {
    for (const [text, limit, intervalMs] of [
      ['10', 10, 1_000],
      ['10/s', 10, 1_000],
      ['100/m', 100, 60_000],
      ['5000/h', 5_000, 3_600_000],
      ['3/500ms', 3, 500],
      ['1/1.5s', 1, 1_500],
      ['7/ms', 7, 1],
      [' 2/s ', 2, 1_000],
    ] as const) {
      assert.deepEqual(parseRate('--flag', text), { limit, intervalMs }, text);
    }
    refuses(
      (text) => parseRate('--flag', text),
      [
        '',
        '/s',
        '0/s',
        '-1/s',
        '1.5/s',
        '10/',
        '10/x',
        '10/0s',
        '10/s/s',
        '10/5',
        'fast',
        '1e3/s',
        '10s',
        '9007199254740993/s',
      ],
    );
  }),
);

test(
  'a count is a whole number',
  withLeakCheck(() => {
    assert.equal(parseCount('--flag', '0', 0), 0);
    assert.equal(parseCount('--flag', ' 12 ', 1), 12);
    refuses((text) => parseCount('--flag', text, 1), ['', '0', '-1', '1.5', '1e3', '0x10', 'two', '9007199254740993']);
  }),
);
