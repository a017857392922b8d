/** What `errand map` advises when a module can't be imported. Which errors there are depends on the version of Node. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adviceOn } from '../../src/cli/import-module.ts';

test('where Node would have to do more than to take types away, a loader is advised', () => {
  const error = new SyntaxError('TypeScript enum is not supported in strip-only mode');
  const said = adviceOn(Object.assign(error, { code: 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' }));
  assert.match(said, /\n.*NODE_OPTIONS="--import tsx" errand map/);
  assert.ok(!said.includes('22.18'), said);
});

test('where an ES module is taken for CommonJS, it is said how it should be called', () => {
  for (const message of ["Unexpected token 'export'", 'Cannot use import statement outside a module']) {
    assert.match(adviceOn(new SyntaxError(message)), /call it \.mjs or \.mts/);
  }
});

test('of anything else there is no advice', () => {
  for (const error of [new SyntaxError("Unexpected token '=>'"), new Error("Unexpected token 'export'"), undefined]) {
    assert.equal(adviceOn(error), '');
  }
});
