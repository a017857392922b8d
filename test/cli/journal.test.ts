/** What a journal keeps, what it refuses, and what is left of it after a crash. */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Journal, type JournalHeader } from '../../src/cli/journal.ts';
import { UsageError } from '../../src/cli/usage-error.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Folder } from './folder.ts';
import { Desk, failuresOf } from './support.ts';

const HEADER: JournalHeader = { module: 'm.mjs', digest: 'abc', json: false, timeoutMs: null, retries: 0 };

/** A line for an input, as it is printed. */
function outcome(input: unknown, value: unknown): string {
  return JSON.stringify({ input, value });
}

test(
  'outcomes are taken once each, the same input in the order in which they were kept, and read as they were',
  withLeakCheck(async (t) => {
    const path = join(new Folder(t).path, 'journal');
    const first = await Journal.open(path, HEADER);
    assert.equal(first.isResumed, false);
    assert.equal(first.take('a'), undefined);
    const wide = outcome('wide', 'é'.repeat(100_000));
    const failure = JSON.stringify({ input: 'a', error: { message: 'no' } });
    await first.append([outcome('a', 1), wide]);
    await first.append([failure, outcome({ deep: [1, 'é'] }, 2), outcome('a', 3), outcome(null, 4)]);
    await first.close();

    const second = await Journal.open(path, HEADER);
    assert.equal(second.isResumed, true);
    const read = async (input: unknown): Promise<[string, boolean] | undefined> => {
      const kept = second.take(input);
      return kept && [await second.read(kept), kept.failed];
    };
    assert.deepEqual(await read({ deep: [1, 'é'] }), [outcome({ deep: [1, 'é'] }, 2), false]);
    assert.deepEqual(await read('a'), [outcome('a', 1), false]);
    assert.deepEqual(await read('a'), [failure, true]);
    assert.deepEqual(await read('a'), [outcome('a', 3), false]);
    assert.equal(await read('a'), undefined);
    assert.deepEqual(await read('wide'), [wide, false]);
    assert.deepEqual(await read(null), [outcome(null, 4), false]);
    assert.equal(await read('null'), undefined);
    // What is new goes to its end.
    await second.append([outcome('b', 5)]);
    await second.close();
    const third = await Journal.open(path, HEADER);
    const kept = third.take('b')!;
    assert.equal(await third.read(kept), outcome('b', 5));
    await third.close();

    // It isn't there any more when it is asked for.
    const fourth = await Journal.open(path, HEADER);
    truncateSync(path, kept.offset + 5);
    await assert.rejects(fourth.read(kept), /the journal has no outcome at \d+: was it changed meanwhile\?/);
    await fourth.close();
  }),
);

test(
  'wherever a journal was torn off, its whole lines count, and it goes on after them',
  withLeakCheck(async (t) => {
    const path = join(new Folder(t).path, 'journal');
    const inputs = ['a', 'é', 'c'];
    const whole = await Journal.open(path, HEADER);
    await whole.append(inputs.map((input) => outcome(input, 1)));
    await whole.close();
    const bytes = readFileSync(path);
    // What is torn is gone, also where little comes after it.
    writeFileSync(path, Buffer.concat([bytes, Buffer.from(outcome('torn', 'x'.repeat(1_000)).slice(0, -1))]));
    const mended = await Journal.open(path, HEADER);
    assert.ok(readFileSync(path).equals(bytes));
    await mended.close();

    const headerLength = bytes.indexOf('\n');
    for (let length = 0; length <= bytes.length; length += length < headerLength - 9 ? 9 : 1) {
      writeFileSync(path, bytes.subarray(0, length));
      const ended = bytes.subarray(0, length).toString('latin1').split('\n').length - 1;
      const journal = await Journal.open(path, HEADER);
      const held = inputs.filter((input) => journal.take(input) !== undefined);
      assert.deepEqual(held, inputs.slice(0, Math.max(0, ended - 1)), `torn after ${length} bytes`);
      assert.equal(journal.isResumed, ended > 0);
      if (held.length < inputs.length) {
        await journal.append(inputs.slice(held.length).map((input) => outcome(input, 1)));
      }
      await journal.close();
      assert.ok(readFileSync(path).equals(bytes), `torn after ${length} bytes`);
    }
  }),
);

test(
  'what is no journal, or another one, is refused and left as it is',
  withLeakCheck(async (t) => {
    const folder = new Folder(t);
    const header = JSON.stringify({ journal: 'errand map', version: 1, ...HEADER });
    for (const [text, says] of [
      ['my notes', /x is no journal of errand map$/],
      ['my notes\n', /x is no journal of errand map$/],
      ['{"journal":"errand mop"', /x is no journal of errand map$/],
      ['\n', /x is no journal of errand map$/],
      ['[]\n', /x is no journal of errand map$/],
      ['{"input":1,"value":1}\n', /x is no journal of errand map$/],
      [`${header}\n${outcome('a', 1)}\nnotes\n`, /line 3 of the journal \S+x is no outcome: notes$/],
      [`${header}\n{"value":1}\n`, /line 2 of the journal \S+x is no outcome: \{"value":1\}$/],
      [`${header.replace('"version":1', '"version":2')}\n`, /x has version 2, and this errand writes 1$/],
      [
        `${header.replace('abc', 'def')}\n`,
        /was written by another run: the module m\.mjs has changed since\. Name another/,
      ],
      [
        `${header.replace('m.mjs', 'n.mjs').replace('abc', 'def').replace('false', 'true').replace('null', '50')}\n`,
        /another run: the module was n\.mjs and is m\.mjs; --json was on and is off; --timeout was 50 and is none\. Name/,
      ],
    ] as const) {
      const path = join(folder.path, folder.write('x', text));
      await assert.rejects(Journal.open(path, HEADER), (error: unknown) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, says);
        return true;
      });
      assert.equal(folder.read('x'), text);
    }
    // The same module by another name is the same.
    const path = join(folder.path, folder.write('x', `${header.replace('m.mjs', './m.mjs')}\n`));
    await (await Journal.open(path, HEADER)).close();
  }),
);

const NOTING = `import { appendFileSync } from 'node:fs';
  export default (input) => {
    appendFileSync('called', JSON.stringify(input) + '\\n');
    if (String(input).startsWith('bad')) throw new Error('no ' + input);
    return 'of ' + input;
  };`;

test(
  'a second run skips what the journal holds, failures too, and prints it with --replay',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', NOTING);
    const args = ['m.mjs', '--journal', 'journal', '--out', 'out', '--errors', 'errors', '--ordered'];
    const first = await desk.map([...args, 'a', 'bad', 'a', 'b']);
    assert.equal(first.code, 1);
    assert.deepEqual(desk.lines('called').sort(), ['"a"', '"a"', '"b"', '"bad"']);
    const out = desk.read('out');
    const errors = desk.read('errors');

    // An input that is there once more than before is new that once. Other flags than those kept may differ.
    const more = ['a', 'c', 'bad', 'a', 'a', 'b'];
    const second = await desk.map([...args, ...more, '--concurrency', '1', '--rate', '1000/s', '--fail-fast']);
    assert.equal(second.code, 1); // as one has failed, if not now
    assert.match(second.stderr, /6 of 6 done, 5 completed, 1 failed, 4 skipped/);
    assert.match(second.stderr, /^Failed +bad +failed in an earlier run$/m);
    assert.deepEqual(desk.lines('called').slice(4), ['"c"', '"a"']);
    assert.equal(desk.read('out'), `${out}${outcome('c', 'of c')}\n${outcome('a', 'of a')}\n`);
    assert.equal(desk.read('errors'), errors);

    const [replayed, free] = await Promise.all([
      desk.map([...args, ...more, '--replay']),
      desk.map(['m.mjs', '--journal', 'journal', ...more.slice(2), '--replay', '--quiet']),
    ]);
    assert.equal(desk.lines('called').length, 6);
    assert.equal(replayed.code, 1);
    assert.equal(
      desk.read('out'),
      ['a', 'c', 'a', 'a', 'b'].map((input) => `${outcome(input, `of ${input}`)}\n`).join(''),
    );
    assert.equal(desk.read('errors'), errors);
    assert.deepEqual(free.results.map(({ value }) => value).sort(), ['of a', 'of a', 'of b']);
    assert.match(free.stderr, /^failed: bad: /);
  }),
);

test(
  'a journal is refused when the module or an option that counts is another, with exit code 2',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', NOTING);
    desk.write('n.mjs', `${NOTING}\n`);
    await desk.map(['m.mjs', '1', '--journal', 'journal', '--retries', '1', '--timeout', '1m']);
    const refused = async (args: readonly string[], says: string): Promise<void> => {
      const { code, stderr } = await desk.map([...args, '1', '--journal', 'journal']);
      assert.equal(
        stderr,
        `errand: the journal journal was written by another run: ${says}. Name another journal, or remove this one.\n`,
      );
      assert.equal(code, 2);
    };
    await Promise.all([
      refused(['n.mjs', '--retries', '1', '--timeout', '1m'], 'the module was m.mjs and is n.mjs'),
      refused(
        ['m.mjs', '--json', '--timeout', '1s'],
        '--json was off and is on; --timeout was 60000 and is 1000; --retries was 1 and is 0',
      ),
    ]);
    assert.deepEqual(desk.lines('called'), ['"1"']);
    desk.write('m.mjs', `${NOTING}//`);
    await refused(['m.mjs', '--retries', '1', '--timeout', '1m'], 'the module m.mjs has changed since');
  }),
);

test(
  'a line that is no JSON is never kept: it is no input, and its text may be another',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', NOTING);
    const args = ['m.mjs', '--json', '--journal', 'journal', '--from', '-', '--errors', 'errors'];
    const first = await desk.map(args, { stdin: 'oops\n1\n' });
    assert.equal(first.code, 1);
    const second = await desk.map(args, { stdin: 'oops\n1\n"oops"\n' });
    assert.equal(second.code, 1);
    assert.deepEqual(second.results, [{ input: 'oops', value: 'of oops' }]);
    assert.match(second.stderr, /3 of 3 done, 2 completed, 1 failed, 1 skipped/);
    assert.deepEqual(desk.lines('called'), ['1', '"oops"']);
    assert.equal(desk.lines('journal').length, 3);
    assert.equal(failuresOf(desk.read('errors')).length, 2);
  }),
);
