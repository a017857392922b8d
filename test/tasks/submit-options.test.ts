import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf } from '../../src/tasks/define-task.ts';
import { defineTask, type Overridable, type SubmitOptions } from '../../src/tasks/index.ts';
import { checkSubmitOptions } from '../../src/tasks/submit-options.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

const ALL: readonly Overridable[] = ['priority', 'queue', 'timeoutMs', 'attempts'];

function check(options: object, overridable = ALL): void {
  checkSubmitOptions(definitionOf(defineTask({ name: 'image.resize', overridable, run: () => 1 })), options);
}

test(
  'what can be said of a submission is taken',
  withLeakCheck(async () => {
    const options: SubmitOptions[] = [
      {},
      { id: 'mine', delayMs: 0 },
      { delayMs: 0.5, context: {} },
      { runAt: 0, context: { principals: [], headers: {} } },
      { runAt: new Date(0), context: { principals: [{ name: 'a', permissions: ['b'] }], headers: { c: 'd' } } },
      { priority: -2, queue: 'images', timeoutMs: 5, attempts: 1 },
      { id: undefined, delayMs: undefined, runAt: undefined, context: undefined, priority: undefined },
    ];
    for (const each of options) check(each);
  }),
);

test(
  'what the definition fixes can not be sent along, unless it says so',
  withLeakCheck(async () => {
    const values = { priority: 1, queue: 'q', timeoutMs: 1, attempts: 1 };
    for (const name of ALL) {
      check({ [name]: values[name] }, [name]);
      check({ [name]: undefined }, []);
      const others = ALL.filter((other) => other !== name);
      assert.throws(() => check({ [name]: values[name] }, others), {
        name: 'TypeError',
        message: `${name} is fixed by the definition of image.resize, which doesn't name it in overridable`,
      });
    }
  }),
);

test(
  'a time is said in one way',
  withLeakCheck(async () => {
    assert.throws(() => check({ delayMs: 1, runAt: 1 }), {
      name: 'TypeError',
      message: 'delayMs and runAt exclude each other: both say when the call is due',
    });
  }),
);

test(
  'wrong options are refused by name and value',
  withLeakCheck(async () => {
    const wrong: readonly (readonly [unknown, string, RegExp])[] = [
      [5, 'TypeError', /^options must be an object, but is 5$/],
      [null, 'TypeError', /^options must be an object, but is null$/],
      [{ retry: {} }, 'TypeError', /^retry is not an option of a submission; those are id, delayMs, /],
      [AbortSignal.abort(), 'TypeError', /is not an option of a submission/],
      [{ id: 5 }, 'TypeError', /^id must be a string, but is 5$/],
      [{ id: '' }, 'RangeError', /^id must be a text that is not empty/],
      [{ delayMs: -1 }, 'RangeError', /^delayMs must be a number of at least 0, but is -1$/],
      [{ delayMs: '1' }, 'TypeError', /^delayMs must be a number of at least 0, but is "1"$/],
      [{ delayMs: Number.POSITIVE_INFINITY }, 'RangeError', /^delayMs must be/],
      [{ runAt: '2030-01-01' }, 'TypeError', /^runAt must be a Date or ms since the epoch, but is "2030-01-01"$/],
      [{ runAt: new Date(Number.NaN) }, 'RangeError', /^runAt must be a valid Date/],
      [{ runAt: Number.NaN }, 'RangeError', /^runAt must be a valid Date .* but is NaN$/],
      [{ context: [] }, 'TypeError', /^context must be an object of principals and headers, but is an array/],
      [{ context: 'anna' }, 'TypeError', /^context must be an object/],
      [
        { context: { user: 'anna' } },
        'TypeError',
        /^user is not an option of a context; those are principals, headers$/,
      ],
      [{ context: { principals: ['anna'] } }, 'TypeError', /^context\.principals\[0\] must be an object/],
      [{ context: { headers: { a: 1 } } }, 'TypeError', /^context\.headers\["a"\] must be a string, but is 1$/],
      [{ priority: Number.NaN }, 'RangeError', /^priority must be a finite number, but is NaN$/],
      [{ queue: '' }, 'RangeError', /^queue must be a text/],
      [{ timeoutMs: 0 }, 'RangeError', /^timeoutMs must be a number above 0, but is 0$/],
      [{ attempts: 0 }, 'RangeError', /^attempts must be an integer of at least 1, but is 0$/],
      [{ timeoutMs: Number.POSITIVE_INFINITY }, 'RangeError', /^timeoutMs must be .* but is Infinity$/],
      [{ attempts: Number.POSITIVE_INFINITY }, 'RangeError', /^attempts must be .* but is Infinity$/],
      [{ attempts: 1.5 }, 'RangeError', /^attempts must be/],
    ];
    for (const [options, name, message] of wrong) {
      assert.throws(() => check(options as object), { name, message }, JSON.stringify(options));
    }
  }),
);
