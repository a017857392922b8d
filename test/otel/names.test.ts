/** What metrics are called: as the docs say, in OpenTelemetry and in the text for Prometheus. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { prometheusText } from '../../src/metrics/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { ROOT } from '../programs.ts';
import { echo } from '../tasks/kit.ts';
import { followed, useGlobals } from './kit.ts';

/** Those that the table of Jobbers names. */
const OF_JOBBERS = [
  'tasks_processed',
  'tasks_retried',
  'execution_time',
  'end_to_end_latency',
  'time_in_queue',
  'tasks_selected',
  'tasks_dead_lettered',
  'cancellations_requested',
  'schedule_dispatch_latency',
];

before(() => useGlobals());

test(
  'metrics are called as the docs say, and those of Jobbers are among them',
  withLeakCheck(async () => {
    const page = await readFile(join(ROOT, 'docs/signals.md'), 'utf8');
    const [, table = ''] = /\n\| metric \|.*\n\|[-|]+\n((?:\|.*\n)+)/.exec(page) ?? [];
    const documented = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name!).sort();
    await using rig = await followed(echo);
    const { dispatcher, telemetry } = rig;
    await dispatcher.onStart(echo, 1);
    await rig.clock.advance(1);
    const inOtel = (await telemetry.names()).map((name) => name.replace(/^errand\.dispatcher\./, ''));
    assert.deepEqual(inOtel.sort(), documented);
    const families = [...prometheusText(dispatcher).matchAll(/^# TYPE errand_dispatcher_(\w+) /gm)];
    const inText = families.map(([, name]) => name!.replace(/_(total|seconds)$/, ''));
    assert.deepEqual(inText.sort(), documented);
    assert.deepEqual(
      OF_JOBBERS.filter((name) => !documented.includes(name)),
      [],
    );
  }),
);
