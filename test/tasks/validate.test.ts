import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { InvalidInputError, InvalidOutputError, type StandardSchema } from '../../src/tasks/index.ts';
import { validate } from '../../src/tasks/validate.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

type Validate = StandardSchema['~standard']['validate'];

function schemaOf(check: (value: unknown) => unknown): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate: check as Validate } };
}

function errorOf(fn: () => unknown): InvalidInputError {
  try {
    fn();
  } catch (error) {
    assert.ok(error instanceof InvalidInputError, String(error));
    return error;
  }
  assert.fail('it was valid');
}

const schemas: readonly (readonly [library: string, schema: StandardSchema])[] = [
  ['zod', z.object({ path: z.string(), width: z.string().transform(Number) })],
  ['valibot', v.object({ path: v.string(), width: v.pipe(v.string(), v.transform(Number)) })],
  ['arktype', type({ path: 'string', width: 'string.numeric.parse' })],
];

for (const [library, schema] of schemas) {
  test(
    `a schema of ${library} gives what it makes of a value at once, or says what is wrong and where`,
    withLeakCheck(async () => {
      assert.deepEqual(validate(schema, { path: '/a', width: '7' }), { path: '/a', width: 7 });
      const error = errorOf(() => validate(schema, { path: 5, width: '7' }));
      assert.equal(error.code, 'ERR_INVALID_INPUT');
      assert.match(error.message, /^the input is invalid: input\.path: .*string/);
      assert.equal(error.issues.length, 1);
    }),
  );
}

test(
  'a schema that takes its time gives a promise',
  withLeakCheck(async () => {
    const slow = z.string().refine(async (text) => text !== 'bad', 'not that one');
    const valid = validate(slow, 'good');
    assert.ok(valid instanceof Promise);
    assert.equal(await valid, 'good');
    await assert.rejects(async () => validate(slow, 'bad'), {
      name: 'InvalidInputError',
      message: 'the input is invalid: input: not that one',
    });
  }),
);

test(
  'a promise need not be a Promise',
  withLeakCheck(async () => {
    const schema = schemaOf((value) => ({ then: (done: (result: object) => void) => done({ value: [value] }) }));
    assert.deepEqual(await validate(schema, 1), [1]);
  }),
);

test(
  'an output has its own error',
  withLeakCheck(async () => {
    assert.throws(
      () => validate(z.object({ size: z.number() }), { size: 'big' }, 'output'),
      (error: Error) => {
        assert.ok(error instanceof InvalidOutputError);
        assert.match(error.message, /^the output is invalid: output\.size: /);
        assert.equal(error.issues.length, 1);
        return true;
      },
    );
  }),
);

test(
  'the message has where each thing is, as it would be written, and at most five; the rest is in the issues',
  withLeakCheck(async () => {
    const symbol = Symbol('s');
    const paths = [['a', 0, 'b'], [{ key: 'first name' }, { key: 3 }], [symbol], [], undefined];
    const issues = paths.map((path, index) => ({ message: `wrong ${index}`, path }));
    const five = errorOf(() =>
      validate(
        schemaOf(() => ({ issues })),
        1,
      ),
    );
    assert.equal(
      five.message,
      'the input is invalid: input.a[0].b: wrong 0; input["first name"][3]: wrong 1; input[Symbol(s)]: wrong 2; ' +
        'input: wrong 3; input: wrong 4',
    );
    const many = Array.from({ length: 12 }, () => ({ message: 'wrong' }));
    const { message, issues: all } = errorOf(() =>
      validate(
        schemaOf(() => ({ issues: many })),
        1,
      ),
    );
    assert.match(message, /^the input is invalid: (input: wrong; ){5}and 7 more$/);
    assert.equal(all.length, 12);
    assert.equal(
      errorOf(() =>
        validate(
          schemaOf(() => ({ issues: [] })),
          1,
        ),
      ).message,
      'the input is invalid: its schema says no more',
    );
  }),
);

test(
  'undefined is valid if the schema says so',
  withLeakCheck(async () => {
    assert.equal(validate(z.undefined(), undefined), undefined);
    assert.equal(
      validate(
        schemaOf(() => ({ value: undefined, issues: undefined })),
        1,
      ),
      undefined,
    );
  }),
);

test(
  'nothing passes by a schema that fails',
  withLeakCheck(async () => {
    const cause = new Error('out of order');
    const throwing = schemaOf(() => {
      throw cause;
    });
    const error = errorOf(() => validate(throwing, 1));
    assert.equal(error.message, 'the schema of the input failed: out of order');
    assert.equal(error.cause, cause);
    assert.deepEqual(error.issues, []);

    const rejecting = schemaOf(() => Promise.reject(cause));
    await assert.rejects(async () => validate(rejecting, 1, 'output'), {
      name: 'InvalidOutputError',
      message: 'the schema of the output failed: out of order',
      cause,
    });

    for (const result of [undefined, null, true, {}, { issues: 'none' }]) {
      assert.match(
        errorOf(() =>
          validate(
            schemaOf(() => result),
            1,
          ),
        ).message,
        /^the schema of the input failed: it returned .* instead of a value or issues$/,
      );
      await assert.rejects(
        async () =>
          validate(
            schemaOf(async () => result),
            1,
          ),
        InvalidInputError,
      );
    }
  }),
);
