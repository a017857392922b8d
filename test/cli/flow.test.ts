/** Inputs without end, and readers that are slow or go: what flows through is never more than a little at a time. */
import assert from 'node:assert/strict';
import { devNull } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { linesOf } from './folder.ts';
import { Desk, resultsOf } from './support.ts';

test(
  'memory does not grow with the inputs',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { writeFileSync } from 'node:fs';
      process.on('exit', () => writeFileSync(process.env.PEAK, String(process.resourceUsage().maxRSS)));
      export default () => 1;`,
    );
    // So little that it collects what it can, and lines so long that they would be missed if they stayed.
    const nodeFlags = ['--max-old-space-size=16', '--max-semi-space-size=1'];
    const lineBytes = 1_000;
    const peakKiB = async (name: string, count: number): Promise<number> => {
      const args = ['map', 'm.mjs', '--from', '-', '--out', devNull];
      const errand = desk.start(args, { nodeFlags, env: { PEAK: name } });
      await pipeline(Readable.from(numberedLines(count, lineBytes)), errand.child.stdin);
      assert.equal(await errand.ended, 0, errand.stderr);
      assert.match(errand.stderr, new RegExp(`^Inputs +${count.toLocaleString('en-US')} of `, 'm'));
      return Number(desk.read(name));
    };
    const few = await peakKiB('few', 3_000);
    const many = await peakKiB('many', 50_000); // 50 MB
    assert.ok(many < few + 12 * 1024, `${few} KiB at the peak for a few, ${many} KiB for many`);
  }),
);

function* numberedLines(count: number, bytes: number): Generator<string> {
  for (let first = 0; first < count; first += 50) {
    const numbers = Array.from({ length: Math.min(50, count - first) }, (_, i) => first + i);
    yield numbers.map((number) => `${String(number).padEnd(bytes - 1, '.')}\n`).join('');
  }
}

test(
  'a reader who does not read holds the work, and gets all when he does',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `let called = 0;
      export default (input, { log }) => {
        if (++called === 1) setInterval(() => log('called %d', called), 50).unref();
        return 'x'.repeat(10_000);
      };`,
    );
    const count = 3_000;
    const errand = desk.start(['map', 'm.mjs', '--from', '-', '--ordered', '--concurrency', '4']);
    errand.child.stdout.pause();
    errand.child.stdin.end(Array.from({ length: count }, (_, i) => `${i}\n`).join(''));
    // It has come to a stop when the same is said three times.
    const [, called] = await errand.until(/called (\d+)\n(?:called \1\n){2}/);
    // The places of inputs, and what pipes and streams hold.
    assert.ok(Number(called) < 400, `${called} of ${count} were called`);
    errand.child.stdout.resume();
    assert.equal(await errand.ended, 0);
    const results = resultsOf(errand.stdout);
    assert.equal(results.length, count);
    assert.ok(results.every(({ input }, i) => input === String(i)));
  }),
);

test(
  'a reader who goes ends it in peace, be it in the middle of calls that never end',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('quick.mjs', 'export default (input) => input;');
    // More than a pipe takes, and then calls that never end.
    desk.write(
      'never.mjs',
      `export default (input) =>
        input <= 500 ? 'x'.repeat(1_000) : new Promise(() => setInterval(() => {}, 1_000));`,
    );
    const shells = [
      '(seq 200000 | errand map quick.mjs --from - --journal journal; echo $? > code0) | head -c 12',
      '(errand map never.mjs --from <(seq 1000) --ordered --concurrency 1000; echo $? > code1) | head -c 12',
      '(seq 2000 | errand map quick.mjs --from - --ordered; echo $? > code2) 2>&1 | head -c 12',
    ].map((line) => desk.shell(line));
    const help = desk.shell('(errand map --help; echo $? > code3) | true');
    await Promise.all([...shells, help].map(({ ended }) => ended));
    for (const [i, { stdout, stderr }] of shells.entries()) {
      assert.equal(stderr, '');
      assert.equal(stdout, '{"input":"1"');
      assert.equal(desk.read(`code${i}`), '0\n');
    }
    assert.equal(help.stderr, '');
    assert.equal(desk.read('code3'), '0\n');
  }),
);

test(
  'nobody has to read what is said',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', `export default (input, { log }) => { log('saw', input); return input; };`);
    const shell = desk.shell('{ seq 20000 | errand map m.mjs --from - --out out; echo $? > code; } 2>&1 | head -n 1');
    await shell.ended;
    assert.equal(shell.stdout, 'saw 1\n');
    assert.equal(desk.read('code'), '0\n');
    assert.equal(linesOf(desk.read('out')).length, 20_000);
  }),
);
