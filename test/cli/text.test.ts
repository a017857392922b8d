import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  colorsFor,
  cut,
  cutMiddle,
  duration,
  printable,
  printableInput,
  printableLine,
  rate,
  roughly,
  widthOf,
} from '../../src/cli/text.ts';
import { setTerminalEnv } from './env.ts';

const MUST_NOT_PASS = /(?![\n\t])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const anyText = fc.string({ unit: 'binary' });
/** Of what a terminal is commanded by, and of what it shows in two columns or none. */
const troublesome = fc
  .array(
    fc.constantFrom('\x1b', '[', '31m', ']0;', '\x07', '\x9b', '\r', '\n', 'a', 'フ', '\u202e', '\u2028', '👩‍👧', 'é'),
  )
  .map((pieces) => pieces.join(''));

test('no text commands the terminal', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, troublesome), (text) => {
      assert.doesNotMatch(printable(text), MUST_NOT_PASS);
      for (const line of [
        printableLine(text),
        printableInput(JSON.stringify(text)),
        printableInput(JSON.stringify([text])),
      ]) {
        assert.doesNotMatch(line, MUST_NOT_PASS);
        assert.doesNotMatch(line, /[\n\t]/);
      }
    }),
  );
});

test('a text loses its colors and keeps its lines', () => {
  assert.equal(printable('\x1b[31mred\x1b[39m\r\n\tand\x07 \u202eso on\n'), 'red\n\tand\\u0007 \\u202eso on\n');
  assert.equal(printableLine(' \x1b[31mone\x1b[39m\n\n  two\tthree\n'), 'one two three');
});

test('an input that is a string is shown without quotes, unless nothing would be seen', () => {
  assert.equal(printableInput('"src/a \\"b\\".ts"'), 'src/a "b".ts');
  assert.equal(printableInput('"a\\u001b[31m\\n"'), 'a\\u001b[31m\\u000a');
  assert.equal(printableInput('""'), '""');
  assert.equal(printableInput('" \u2028"'), '" \\u2028"');
  assert.equal(printableInput('{"id":1}'), '{"id":1}');
});

test('a text is cut by the columns it takes', () => {
  assert.equal(cut('as it is', 8), 'as it is');
  assert.equal(cut('ファイル', 5), 'ファ…');
  assert.equal(cut('👩‍👧👩‍👧', 3), '👩‍👧…');
  assert.equal(cutMiddle('as it is', 8), 'as it is');
  assert.equal(cutMiddle('src/some/folder/file.ts', 13), 'src/…/file.ts');
  assert.equal(cutMiddle('ファイルファイル', 8), 'フ…イル');
});

test('what is cut fits, and says that it was cut', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, troublesome).map(printableLine), fc.integer({ min: 1, max: 30 }), (text, columns) => {
      for (const short of [cut(text, columns), cutMiddle(text, columns)]) {
        assert.ok(widthOf(short) <= columns, short);
        if (short !== text) assert.ok(short.includes('…') && widthOf(text) > columns, short);
      }
    }),
  );
});

test('of a text of megabytes only the ends are looked at', (t) => {
  const { segment } = Intl.Segmenter.prototype;
  let looked = 0;
  t.mock.method(Intl.Segmenter.prototype, 'segment', function* (this: Intl.Segmenter, text: string) {
    for (const found of segment.call(this, text)) {
      looked++;
      yield found;
    }
  });
  assert.equal(cutMiddle(`${'x'.repeat(1_000_000)}end`, 10), 'xxx…xxxend');
  assert.ok(looked > 0 && looked < 1_000, `${looked} characters`);
});

test('figures have units a reader knows', () => {
  assert.deepEqual([0, 0.996, 12.3, 999.6, 59_960, 61_000].map(duration), [
    '0.00 ms',
    '1.0 ms',
    '12 ms',
    '1.0 s',
    '1 min 0 s',
    '1 min 1 s',
  ]);
  assert.deepEqual([0, 499, 59_600, 3_599_000, 3_600_000, 86_399_000, 90_000_000, 1e13].map(roughly), [
    '0 s',
    '0 s',
    '1 min 0 s',
    '59 min 59 s',
    '1 h 0 min',
    '24 h 0 min',
    '1 d 1 h',
    '115,740 d 18 h',
  ]);
  assert.deepEqual([0, 0.001, 0.5, 0.95, 3.14, 9.96, 12_345.6].map(rate), [
    '0/s',
    '0.1/min',
    '30/min',
    '0.9/s',
    '3.1/s',
    '10/s',
    '12,346/s',
  ]);
});

for (const [where, isTTY, env, wanted] of [
  ['on a terminal', true, {}, true],
  ['on a terminal with NO_COLOR', true, { NO_COLOR: '1' }, false],
  ['on a terminal with an empty NO_COLOR', true, { NO_COLOR: '' }, true],
  ['on a terminal with FORCE_COLOR=0', true, { FORCE_COLOR: '0' }, false],
  ['on a terminal that is dumb', true, { TERM: 'dumb' }, false],
  ['in a pipe', undefined, {}, false],
  ['in a pipe with FORCE_COLOR', undefined, { FORCE_COLOR: '1' }, true],
  ['in a pipe with both', undefined, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
] as const) {
  test(`there are ${wanted ? '' : 'no '}colors ${where}`, (t) => {
    setTerminalEnv(t, { TERM: 'xterm', ...env });
    assert.equal(colorsFor({ isTTY } as { isTTY: boolean }).bold('a'), wanted ? '\x1b[1ma\x1b[22m' : 'a');
  });
}
