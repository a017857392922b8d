/** What dispatchers hear from each other: only what is a message to the letter does anything, and nothing does harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Engine, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { property } from '../properties/support/check.ts';
import { echo, passing, rigOf, settle } from './kit.ts';

/** What is said on an engine besides, and what is heard there. */
async function overheard(engine: Engine): Promise<string[]> {
  const heard: string[] = [];
  await engine.begin('control:somebody', { onWake() {}, onCancel() {}, onMessage: (text) => void heard.push(text) });
  return heard;
}

/** A dispatcher whose logger keeps its warnings. */
async function warned() {
  const warnings: string[] = [];
  const none = (): void => {};
  const warn = (what: string, error: Error): void => void warnings.push(`${what}: ${error.message}`);
  const rig = await rigOf(echo, { name: 'one', logger: { debug: none, info: none, warn, error: none } });
  return { rig, warnings };
}

const request = { errand: 'control', kind: 'request', id: 'x', command: 'ping', params: { timeoutMs: 100 } };
const WRONG: readonly (readonly [string, unknown, RegExp])[] = [
  ['no JSON', 'hello', /no JSON/],
  ['nothing', '', /no JSON/],
  ['not one of a dispatcher', {}, /not one of a dispatcher/],
  ['null', null, /not one of a dispatcher/],
  ['a list', [1], /not one of a dispatcher/],
  ['of another sender', { ...request, errand: 'other' }, /not one of a dispatcher/],
  ['of no kind', { errand: 'control' }, /kind undefined isn't known/],
  ['of an unknown kind', { ...request, kind: 'order' }, /kind "order" isn't known/],
  ['without an id', { ...request, id: undefined }, /isn't whole/],
  ['with no command', { ...request, command: ['ping'] }, /isn't whole/],
  ['to nobody', { ...request, to: null }, /isn't whole/],
  ['an unknown command', { ...request, command: 'run' }, /"run" is no command/],
  ['a method of the receiver', { ...request, command: 'constructor' }, /"constructor" is no command/],
  ['another one', { ...request, command: 'stop' }, /"stop" is no command/],
  ['a field of all objects', { ...request, command: '__proto__' }, /"__proto__" is no command/],
  ['a ping without a time', { ...request, params: undefined }, /timeoutMs must be/],
  ['a ping with a wrong one', { ...request, params: { timeoutMs: -1 } }, /timeoutMs must be/],
  [
    'a level that there is not',
    { ...request, command: 'setLogLevel', params: { level: 'loud' } },
    /level must be one of/,
  ],
  ['a level that is none', { ...request, command: 'setLogLevel', params: 'debug' }, /level must be one of/],
  ['a reply of nobody', { errand: 'control', kind: 'reply', id: 'x' }, /isn't whole/],
];

for (const [what, message, expected] of WRONG) {
  test(
    `a message is ignored, with a warning: ${what}`,
    withLeakCheck(async () => {
      const { rig, warnings } = await warned();
      await using _ = rig;
      const heard = await overheard(rig.engine);
      const text = typeof message === 'string' ? message : JSON.stringify(message);
      await rig.engine.broadcast(text);
      await settle();
      assert.deepEqual(heard, [text], 'nothing is answered');
      assert.equal(warnings.length, 1);
      assert.match(warnings[0]!, expected);
      assert.equal(await rig.dispatcher.call(echo, 'alive'), 'alive');
      assert.equal((await rig.dispatcher.control.ping()).get('one')?.isSilent, false);
    }),
  );
}

test(
  'a message that is too long is not even read',
  withLeakCheck(async () => {
    const { rig, warnings } = await warned();
    await using _ = rig;
    await rig.engine.broadcast(JSON.stringify({ ...request, params: 'x'.repeat(1_000_000) }));
    await settle();
    assert.match(warnings[0]!, /a message of 1000\d+ characters is too long/);
  }),
);

test(
  'a request to another dispatcher is none of mine',
  withLeakCheck(async () => {
    const { rig, warnings } = await warned();
    await using _ = rig;
    const heard = await overheard(rig.engine);
    await rig.engine.broadcast(JSON.stringify({ ...request, to: 'two' }));
    await settle();
    assert.deepEqual([heard.length, warnings.length], [1, 0]);
  }),
);

/** An engine whose messages come twice, and once more later. */
function echoing(engine: Engine): Engine {
  return {
    ...engine,
    broadcast: async (text) => {
      await engine.broadcast(text);
      await engine.broadcast(text);
      engine.clock.setTimeout(() => void engine.broadcast(text).catch(() => {}), 3_000);
    },
  };
}

test(
  'messages that come twice, or late, do nothing twice',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = echoing(faultyEngine(memoryEngine({ clock })));
    await using one = await rigOf(echo, { clock, engine, name: 'one' });
    await using _ = await rigOf(echo, { clock, engine, name: 'two' });
    for (let i = 0; i < 3; i++) {
      const { control } = one.dispatcher;
      assert.deepEqual([...(await passing(clock, control.ping())).keys()], ['one', 'two']);
      const reached = await passing(clock, control.queues.pause('default'));
      assert.deepEqual(reached, { dispatchers: ['one', 'two'], silent: [] });
      await passing(clock, control.queues.resume('default'));
      await clock.advance(4_000);
      assert.equal(await one.dispatcher.call(echo, i), i);
    }
  }),
);

test(
  'answers that are not what was asked for are silence',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    await using one = await rigOf(echo, { clock, engine: store, name: 'one' });
    for (const value of [
      null,
      1,
      'x',
      [],
      {},
      [['default', {}]],
      [[1, 2]],
      { state: 'running', uptimeMs: 1, version: 2 },
    ]) {
      await store.begin('liar', {
        onWake() {},
        onCancel() {},
        onMessage: (text) => {
          const { kind, id } = JSON.parse(text) as { kind: string; id: string };
          if (kind !== 'request') return;
          void store.broadcast(JSON.stringify({ errand: 'control', kind: 'reply', id, from: 'liar', value }));
          void store.broadcast(JSON.stringify({ errand: 'control', kind: 'reply', id, from: 'nobody', value }));
        },
      });
      const { control } = one.dispatcher;
      assert.equal((await control.workers()).find(({ dispatcher }) => dispatcher === 'liar')?.isSilent, true);
      assert.equal((await control.status()).engine.isHealthy, true);
      assert.equal((await control.queues.list()).length, 1);
      const pongs = await control.ping();
      assert.deepEqual([...pongs.keys()], ['one', 'liar']);
      // An empty list is an answer of one who has no managers.
      assert.equal(pongs.get('liar')?.isSilent, !(Array.isArray(value) && value.length === 0));
    }
  }),
);

property(
  'nothing that is broadcast breaks a dispatcher',
  50,
  fc.array(
    fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record(
          {
            errand: fc.constant('control'),
            kind: fc.constantFrom('request', 'reply', 'check', 'other'),
            id: fc.oneof(fc.string(), fc.jsonValue()),
            to: fc.oneof(fc.constant('one'), fc.jsonValue()),
            from: fc.oneof(fc.constant('one'), fc.jsonValue()),
            command: fc.oneof(
              fc.constantFrom('ping', 'report', 'refreshQueues', 'setLogLevel', 'toString'),
              fc.jsonValue(),
            ),
            params: fc.oneof(fc.record({ timeoutMs: fc.integer(), level: fc.string() }), fc.jsonValue()),
            value: fc.jsonValue(),
          },
          { requiredKeys: ['errand', 'kind'] },
        )
        .map((message) => JSON.stringify(message)),
    ),
    { minLength: 1, maxLength: 20 },
  ),
  async (texts) => {
    await using rig = await rigOf(echo, { name: 'one' });
    const errors: unknown[] = [];
    rig.dispatcher.on('error', (error) => errors.push(error));
    for (const text of texts) await rig.engine.broadcast(text);
    await settle();
    assert.equal(await passing(rig.clock, rig.dispatcher.call(echo, 1)), 1);
    assert.equal((await rig.dispatcher.control.ping()).get('one')?.isSilent, false);
    assert.deepEqual(errors, []);
  },
);
