/**
 * A quiz against the clock: `node --import tsx examples/quiz.ts`, or with answers that are given before, after the last
 * of which the player says nothing more: `node --import tsx examples/quiz.ts 4 56 12`.
 *
 * A `select` waits for what comes first, the answer or the end of the time. `after` is made once, so the time is that
 * of the whole quiz.
 */
import { createInterface } from 'node:readline';
import { after, background, Channel, select, withCancel } from 'errand/go';

const PROBLEMS = [
  { question: '2 + 2', answer: '4' },
  { question: '7 * 8', answer: '56' },
  { question: '100 / 8', answer: '12.5' },
  { question: '3 * 37', answer: '111' },
];

const given = process.argv.slice(2);
const [ctx, cancel] = withCancel(background());
using _ = cancel; // stops reading, so the program can end

const isGiven = given.length > 0;
const answers = isGiven
  ? new Channel<string>(given.length)
  : Channel.from(createInterface({ input: process.stdin }), { signal: ctx });
for (const answer of given) answers.trySend(answer);

const timeIsUp = after(isGiven ? 200 : 20_000);
let right = 0;
for (const { question, answer } of PROBLEMS) {
  console.log(`${question} = ?`);
  const r = await select({ reply: answers, timeIsUp });
  if (r.case === 'timeIsUp') {
    console.log('the time is up');
    break;
  }
  if (!r.ok) {
    console.log('no more answers');
    break;
  }
  const isRight = r.value.trim() === answer;
  if (isRight) right++;
  console.log(`${r.value}: ${isRight ? 'right' : `no, ${answer}`}`);
}
console.log(`${right} of ${PROBLEMS.length}`);
