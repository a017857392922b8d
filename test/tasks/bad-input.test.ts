/** What can't be meant is refused at once, by name and value, with nothing done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prometheusText } from '../../src/metrics/index.ts';
import { Dispatcher, flow, memoryEngine, testExamples, toMermaid } from '../../src/tasks/index.ts';
import { faultyEngine, testDispatcher, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failing, rigOf, settle } from './kit.ts';

// biome-ignore lint/suspicious/noExplicitAny: what the compiler wouldn't let by
type Loose = any;

const FILTERS: readonly [wrong: object, message: RegExp][] = [
  [{ id: 5 }, /^filter\.id must be a string or an array of strings, but is 5$/],
  [{ id: ['a', 5] }, /^filter\.id must be a string or an array of strings, but is an array of 2$/],
  [{ task: 5 }, /^filter\.task must be a string, but is 5$/],
  [{ queue: null }, /^filter\.queue must be a string, but is null$/],
  [{ key: 1n }, /^filter\.key must be a string/],
  [{ parentId: {} }, /^filter\.parentId must be a string/],
  [{ version: '1' }, /^filter\.version must be an integer of at least 1, but is "1"$/],
];

const LISTS: Readonly<Record<string, (dispatcher: Dispatcher, filter: Loose, page?: Loose) => Promise<unknown>>> = {
  'calls.history': ({ calls }, filter, page) => calls.history(filter, page),
  'calls.count': ({ calls }, filter) => calls.count(filter),
  'calls.remove': ({ calls }, filter) => calls.remove(filter),
  'deadLetters.list': ({ deadLetters }, filter, page) => deadLetters.list(filter, page),
  'deadLetters.resubmit': ({ deadLetters }, filter) => deadLetters.resubmit(filter),
  'deadLetters.remove': ({ deadLetters }, filter) => deadLetters.remove(filter),
  'control.running': ({ control }, filter, page) => control.running(filter, page),
  'control.queued': ({ control }, filter, page) => control.queued(filter, page),
  'control.cancel': ({ control }, filter) => control.cancel(filter),
  cancel: (dispatcher, filter) => dispatcher.cancel(filter),
  events: async (dispatcher, filter) => void (await dispatcher.events({ filter }).return()),
};

for (const [name, list] of Object.entries(LISTS)) {
  test(
    `${name} refuses filters that can't match anything, whatever there is`,
    withLeakCheck(async () => {
      await using rig = await rigOf(failing(1, { deadLetter: true }));
      const call = await rig.dispatcher.submit('failing', 1);
      await settle();
      for (const [wrong, message] of FILTERS) await assert.rejects(list(rig.dispatcher, wrong), { message });
      assert.equal(call.status, 'deadLettered');
    }),
  );
}

test(
  'what is no filter stands for no call, and what are no types for no event',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    for (const [name, list] of Object.entries(LISTS)) {
      for (const wrong of [null, 0, [], 5]) await assert.rejects(list(rig.dispatcher, wrong), TypeError, name);
    }
    assert.throws(() => rig.dispatcher.events({ types: null as Loose }), TypeError);
    assert.throws(() => rig.dispatcher.events({ capacity: null as Loose }), TypeError);
  }),
);

test(
  'a state that there is not is refused, alone and among others',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    for (const state of ['strated', ['queued', 'strated'], 5]) {
      for (const name of ['calls.history', 'calls.count', 'calls.remove', 'control.cancel', 'cancel', 'events']) {
        await assert.rejects(
          LISTS[name]!(rig.dispatcher, { state }),
          /^(Range|Type)Error: filter\.state must be /,
          name,
        );
      }
    }
  }),
);

test(
  'a page that there can not be is refused',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const pages: readonly [page: unknown, message: RegExp][] = [
      [null, /^page must be an object, but is null$/],
      [5, /^page must be an object, but is 5$/],
      [{ limit: -1 }, /^page\.limit must be an integer of at least 1 or Infinity, but is -1$/],
      [{ limit: 'x' }, /^page\.limit must be an integer/],
      [{ after: 5 }, /^page\.after must be a string, but is 5$/],
      [{ size: 5 }, /^size is not an option of a page/],
    ];
    for (const name of ['calls.history', 'deadLetters.list', 'control.running', 'control.queued']) {
      for (const [page, message] of pages) {
        await assert.rejects(LISTS[name]!(rig.dispatcher, {}, page), { message }, name);
      }
    }
  }),
);

test(
  'no id is the id of nothing: it does not stand for the first there is',
  withLeakCheck(async () => {
    await using rig = await rigOf(failing(1, { deadLetter: true }));
    await rig.dispatcher.submit('failing', 1);
    await settle();
    const { calls, deadLetters, flows } = rig.dispatcher;
    for (const get of [calls.get.bind(calls), deadLetters.get.bind(deadLetters), flows.get.bind(flows)]) {
      for (const id of [undefined, 5]) {
        await assert.rejects(get(id as Loose), { name: 'TypeError', message: `id must be a string, but is ${id}` });
      }
    }
  }),
);

test(
  'how dead letters are resubmitted is checked before any is',
  withLeakCheck(async () => {
    await using rig = await rigOf(failing(1, { deadLetter: true }));
    const call = await rig.dispatcher.submit('failing', 1);
    await settle();
    for (const wrong of [{ resetAttemps: false }, { resetAttempts: 'no' }, null, 5]) {
      await assert.rejects(rig.dispatcher.deadLetters.resubmit(call.id, wrong as Loose), TypeError);
      await assert.rejects(rig.dispatcher.deadLetters.resubmit({}, wrong as Loose), TypeError);
    }
    assert.deepEqual((await rig.dispatcher.deadLetters.list()).length, 1);
  }),
);

test(
  'a call is put off by a time, and by nothing else',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const call = await rig.dispatcher.submit(echo, 1, { delayMs: 1_000 });
    for (const delayMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5', undefined]) {
      await assert.rejects(
        call.reschedule(delayMs as Loose),
        /^(Range|Type)Error: delayMs must be a number of at least 0/,
      );
    }
    assert.equal(call.info.dueAt, rig.clock.timeOrigin + 1_000);
    await assert.rejects(
      rig.dispatcher.poll(echo, 1, () => true, null as Loose),
      { message: 'options must be an object, but is null' },
    );
  }),
);

test('a dispatcher has a name that others can be made of', () => {
  for (const [name, wrong] of [
    [5, 'TypeError'],
    ['', 'RangeError'],
    ['a\nb', 'RangeError'],
    ['control:a', 'RangeError'],
  ]) {
    assert.throws(() => new Dispatcher({ tasks: [echo], name: name as Loose }), {
      name: wrong,
      message: /^name must be/,
    });
  }
});

test('what a node comes after is named, and so is what is none', () => {
  const begun: Loose = flow({ name: 'graph' });
  for (const after of [5, null, {}, ['a', 5]]) {
    assert.throws(() => begun.node('it', echo, { after }).build(), {
      name: 'TypeError',
      message: /^after of the node it of the flow graph must be the name of a node, or an array of names, but is /,
    });
  }
  for (const [of, message] of [
    [undefined, /names no node$/],
    [[], /names no node$/],
    [5, /must be the name of a node, or an array of names, but is 5$/],
  ]) {
    assert.throws(() => begun.onError('it', echo, { of }).build(), { name: 'TypeError', message: message as RegExp });
  }
});

test('what has no metrics, and what has no examples, is refused', async () => {
  for (const wrong of [{}, null, 5]) {
    assert.throws(
      () => prometheusText(wrong as Loose),
      /^TypeError: what Prometheus is told of must be a TaskManager or/,
    );
    assert.throws(() => prometheusText([{ source: wrong as Loose, labels: {} }]), TypeError);
    await assert.rejects(testExamples(wrong as Loose), /^TypeError: registry must be a TaskRegistry, but is /);
  }
});

test('an engine in memory is made in a time that is one', () => {
  for (const wrong of [null, 5, { clok: 1 }, { clock: 5 }, { clock: {} }]) {
    assert.throws(() => memoryEngine(wrong as Loose), TypeError);
  }
});

test(
  'a flow is drawn with a run of its own',
  withLeakCheck(async () => {
    const [one, other] = ['one', 'other'].map((name) => flow({ name }).node('it', echo).build());
    await using rig = await rigOf([one!, other!]);
    const run = await rig.dispatcher.submit(other!, 1);
    await run.result;
    const its = (await rig.dispatcher.flows.get(run.id))!;
    assert.throws(() => one!.toMermaid(its), {
      name: 'RangeError',
      message: 'run must be of the flow one, but is of other',
    });
    for (const wrong of [5, {}, 'x', null]) {
      assert.throws(() => toMermaid(one!, wrong as Loose), { name: 'TypeError', message: /^run must be what/ });
    }
  }),
);

test(
  'faults that there are not can not be switched on',
  withLeakCheck(async () => {
    const engine = faultyEngine(memoryEngine());
    assert.throws(() => engine.failNext('akc' as Loose), /^RangeError: operation must be one of submit, /);
    assert.throws(() => engine.failNext('ack', { times: 0 }), RangeError);
    assert.throws(() => engine.failNext('ack', { when: 'during' as Loose }), RangeError);
    assert.throws(() => engine.failNext('ack', { time: 2 } as Loose), TypeError);
    assert.throws(() => engine.loseDeliveries(-1), RangeError);
    assert.throws(() => engine.slowDown(Number.NaN), RangeError);
    assert.throws(() => engine.calls('akc' as Loose), RangeError);
    assert.throws(() => faultyEngine(undefined as Loose), TypeError);
    await engine.close();
    await using t = testDispatcher({ tasks: [echo] });
    for (const wrong of [null, { within: 5 }]) {
      await assert.rejects(t.runAll(wrong as Loose), TypeError);
      await assert.rejects(t.until(Promise.resolve(), wrong as Loose), TypeError);
      await assert.rejects(t.popCall('echo', wrong as Loose), TypeError);
    }
  }),
);
