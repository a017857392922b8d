/** The house of DESIGN section 2: a room imports only from rooms below it, and the ground floor nothing of Node. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { test } from 'node:test';

/** From the top down. */
const ROOMS = ['cli', 'otel', 'tasks', 'threads', 'engines', 'manager', 'metrics', 'go'];

interface Import {
  readonly file: string;
  readonly from: string;
  /** The room that it is from; none if it is a package. */
  readonly room: string | undefined;
}

function importsOf(room: string): Import[] {
  const files = readdirSync(join('src', room), { recursive: true }).map((name) => join(room, String(name)));
  return files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(join('src', file), 'utf8');
      return [...text.matchAll(/^(?:import|export)[^;]*?from '([^']+)';/gms)].map(([, from]) => {
        const path = from!.startsWith('.') ? join(file, '..', from!) : undefined;
        return { file, from: from!, room: path?.split(sep)[0] };
      });
    });
}

for (const [level, room] of ROOMS.entries()) {
  test(`src/${room} imports nothing from a room above it`, () => {
    const imports = importsOf(room);
    assert.ok(imports.length > 0);
    const above = [...ROOMS.slice(0, level), 'testing'];
    for (const { file, from, room: of } of imports) {
      assert.ok(of === undefined || !above.includes(of), `${file} imports ${from}`);
    }
  });
}

test('src/go imports nothing but its own files', () => {
  for (const { file, from } of importsOf('go')) assert.ok(from.startsWith('./'), `${file} imports ${from}`);
});

test('nothing but src/otel imports OpenTelemetry', () => {
  for (const room of ROOMS.filter((name) => name !== 'otel').concat('testing')) {
    for (const { file, from } of importsOf(room)) {
      assert.ok(!from.startsWith('@opentelemetry/'), `${file} imports ${from}`);
    }
  }
});
