/** The house of DESIGN section 2: a room imports only from rooms below it, and the ground floor nothing of Node. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/** From the top down. */
const ROOMS = ['cli', 'tasks', 'threads', 'engines', 'manager', 'metrics', 'go'];

function importsOf(room: string): { readonly file: string; readonly from: string }[] {
  return readdirSync(join('src', room)).flatMap((file) => {
    const text = readFileSync(join('src', room, file), 'utf8');
    return [...text.matchAll(/^(?:import|export)[^;]*?from '([^']+)';/gms)].map((match) => ({ file, from: match[1]! }));
  });
}

for (const [level, room] of ROOMS.entries()) {
  test(`src/${room} imports nothing from a room above it`, () => {
    const imports = importsOf(room);
    assert.ok(imports.length > 0);
    for (const { file, from } of imports) {
      for (const above of [...ROOMS.slice(0, level), 'testing']) {
        assert.ok(!from.startsWith(`../${above}/`), `${file} imports ${from}`);
      }
    }
  });
}

test('src/go imports nothing but its own files', () => {
  for (const { file, from } of importsOf('go')) assert.ok(from.startsWith('./'), `${file} imports ${from}`);
});
