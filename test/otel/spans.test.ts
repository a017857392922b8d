/** Calls as traces: submissions, runs, what they submit in their turn. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { instrument } from '../../src/otel/index.ts';
import { type CallContext, Dispatcher, defineTask, flow, memoryEngine, SkipTask } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failing, hangs, passing, pause, rigOf, untilCanceled } from '../tasks/kit.ts';
import { followed, telemetryOf, treeOf, useGlobals } from './kit.ts';

before(() => useGlobals());

test(
  'a submission is a producer span, its run a consumer span below it that is linked with it, by the conventions',
  withLeakCheck(async () => {
    await using rig = await followed(echo);
    const call = await rig.dispatcher.submit(echo, 'x');
    await call.result;
    await rig.clock.advance(0);
    const [send, process] = rig.telemetry.spans();
    assert.deepEqual([send!.name, send!.kind], ['send echo', SpanKind.PRODUCER]);
    assert.deepEqual(send!.attributes, {
      'messaging.system': 'errand',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'default',
      'messaging.message.id': call.id,
      'messaging.client.id': rig.dispatcher.name,
      'errand.task': 'echo',
      'errand.task.version': 1,
    });
    assert.deepEqual([process!.name, process!.kind], ['process echo', SpanKind.CONSUMER]);
    assert.deepEqual(process!.attributes, {
      ...send!.attributes,
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'errand.attempt': 1,
      'errand.status': 'completed',
    });
    assert.deepEqual(
      process!.links.map((link) => link.context.spanId),
      [send!.spanContext().spanId],
    );
    assert.equal(process!.parentSpanContext?.spanId, send!.spanContext().spanId);
    assert.equal(process!.spanContext().traceId, send!.spanContext().traceId);
    assert.equal(process!.status.code, SpanStatusCode.UNSET);
    assert.equal(process!.instrumentationScope.name, 'errand');
    assert.match(process!.instrumentationScope.version!, /^\d+\.\d+\.\d+/);
  }),
);

test(
  'from who submits through a run to the call that it submits, all is one trace, and spans of a run are below it',
  withLeakCheck(async () => {
    const telemetry = telemetryOf();
    const tracer = telemetry.tracerProvider.getTracer('test');
    const child = defineTask({
      name: 'child',
      run: async () => tracer.startActiveSpan('query', async (span) => span.end()),
    });
    const parent = defineTask({
      name: 'parent',
      run: async (ctx: CallContext) => {
        await tracer.startActiveSpan('prepare', async (span) => {
          await Promise.resolve();
          span.end();
        });
        const call = await ctx.submit(child, undefined);
        return call.result;
      },
    });
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const dispatcher = new Dispatcher({ tasks: [parent, child], engine });
    using following = instrument(dispatcher, telemetry.providers);
    assert.ok(following);
    await dispatcher.start();
    await tracer.startActiveSpan('request', async (span) => {
      await dispatcher.call(parent, undefined);
      span.end();
    });
    await clock.advance(0);
    const tree = treeOf(telemetry.spans());
    assert.deepEqual(tree, [
      'request',
      '  send parent',
      '    process parent 1 completed',
      '      prepare',
      '      send child',
      '        process child 1 completed',
      '          query',
    ]);
    const childRun = telemetry.spans().find(({ name }) => name === 'process child')!;
    const parentRun = telemetry.spans().find(({ name }) => name === 'process parent')!;
    assert.equal(childRun.attributes['errand.parent_id'], parentRun.attributes['messaging.message.id']);
    await passing(clock, dispatcher.stop());
    await engine.close();
    await telemetry[Symbol.asyncDispose]();
  }),
);

test(
  'the trace goes over to another dispatcher in the headers of the call, and so does baggage',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: async (ctx: CallContext) => {
        seen.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value, Object.keys(ctx.headers).sort());
      },
    });
    const here = telemetryOf();
    const sender = new Dispatcher({ tasks: [task], engine });
    using sending = instrument(sender, here.providers);
    await using rig = await followed(task, { clock, engine });
    const baggage = propagation.createBaggage({ tenant: { value: 't7' } });
    const call = await context.with(propagation.setBaggage(context.active(), baggage), () =>
      sender.submit(task, undefined, { context: { headers: { locale: 'fi' } } }),
    );
    await call.result;
    await clock.advance(0);
    const [send] = here.spans();
    const [process] = rig.telemetry.spans();
    assert.deepEqual(seen, ['t7', ['baggage', 'locale', 'traceparent']]);
    assert.equal(process!.parentSpanContext?.spanId, send!.spanContext().spanId);
    assert.equal(process!.parentSpanContext?.isRemote, true);
    assert.ok(sending);
    await sender.stop();
    await here[Symbol.asyncDispose]();
  }),
);

test(
  'each attempt has a span of its own on one thread, with its number, what it came to, and its error',
  withLeakCheck(async () => {
    const task = failing(2, { retry: { attempts: 3, baseMs: 100, jitter: 'none' } });
    await using rig = await followed(task);
    await passing(rig.clock, rig.dispatcher.call(task, undefined));
    await rig.clock.advance(0);
    const [send, ...runs] = rig.telemetry.spans();
    assert.deepEqual(
      runs.map(({ attributes, status }) => [attributes['errand.attempt'], attributes['errand.status'], status.message]),
      [
        [1, 'retried', 'boom 1'],
        [2, 'retried', 'boom 2'],
        [3, 'completed', undefined],
      ],
    );
    for (const run of runs) {
      assert.deepEqual(
        run.links.map((link) => link.context.spanId),
        [send!.spanContext().spanId],
      );
      assert.equal(run.parentSpanContext?.spanId, send!.spanContext().spanId);
    }
    const [first] = runs;
    assert.equal(first!.status.code, SpanStatusCode.ERROR);
    assert.equal(first!.attributes['error.type'], 'Error');
    assert.equal(first!.events[0]!.name, 'exception');
    assert.equal(first!.events[0]!.attributes!['exception.message'], 'boom 1');
  }),
);

test(
  "cancels, timeouts, stalls and dead letters show in the status of a run; a cancel is nobody's failure",
  withLeakCheck(async () => {
    const timed = defineTask({ name: 'timed', timeoutMs: 10, run: untilCanceled });
    const stalled = defineTask({ name: 'stalled', stallAfterMs: 10, run: untilCanceled });
    const dead = defineTask({
      name: 'dead',
      run: () => {
        throw new SkipTask('never');
      },
    });
    await using rig = await followed([timed, stalled, dead, hangs]);
    const { dispatcher } = rig;
    for (const task of [timed, stalled, dead]) await dispatcher.submit(task, undefined);
    const call = await dispatcher.submit(hangs, undefined);
    await rig.clock.advance(5);
    await call.cancel();
    await rig.clock.advance(50);
    const runs = rig.telemetry.spans().filter(({ kind }) => kind === SpanKind.CONSUMER);
    const told = runs.map(({ attributes: of, status }) => [
      of['errand.task'],
      of['errand.status'],
      of['error.type'],
      status.code,
    ]);
    assert.deepEqual(told.sort(), [
      ['dead', 'deadLettered', 'ERR_SKIPPED', SpanStatusCode.ERROR],
      ['hangs', 'canceled', undefined, SpanStatusCode.UNSET],
      ['stalled', 'stalled', 'ERR_STALLED', SpanStatusCode.ERROR],
      ['timed', 'timedOut', 'ERR_DEADLINE_EXCEEDED', SpanStatusCode.ERROR],
    ]);
  }),
);

test(
  'a run that is handed back at a stop has ended so, and the next is on the same thread',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const first = await followed(hangs, { clock, engine });
    await first.dispatcher.submit(hangs, undefined);
    await clock.advance(1);
    const stopped = first.dispatcher.stop({ graceMs: 0 });
    await passing(clock, stopped);
    const [send, run] = first.telemetry.spans();
    assert.deepEqual([run!.attributes['errand.status'], run!.status.code], ['requeued', SpanStatusCode.UNSET]);
    const replacement = defineTask({ name: 'hangs', run: () => 'done' });
    await using second = await followed(replacement, { clock, engine });
    await clock.advance(10);
    const [again] = second.telemetry.spans();
    assert.equal(again!.parentSpanContext?.spanId, send!.spanContext().spanId);
    assert.equal(again!.attributes['errand.status'], 'completed');
    await first[Symbol.asyncDispose]();
  }),
);

test(
  'times are those of the dispatcher: from the beginning of the run to its end',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_700_000_000_000 });
    const task = defineTask({ name: 'task', run: () => pause(clock, 250) });
    await using rig = await followed(task, { clock });
    await rig.dispatcher.submit(task, undefined, { delayMs: 1_000 });
    await clock.advance(5_000);
    const run = rig.telemetry.spans()[1]!;
    assert.deepEqual(run.startTime, [1_700_000_001, 0]);
    assert.deepEqual(run.endTime, [1_700_000_001, 250_000_000]);
  }),
);

test(
  'a submission that the engine refuses has a span with the error, and nothing is stored',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await followed(echo, { clock, engine });
    engine.failNext('submit', { error: new TypeError('no disk') });
    await assert.rejects(rig.dispatcher.submit(echo, 1), /no disk/);
    const [send] = rig.telemetry.spans();
    assert.deepEqual(
      [send!.status, send!.attributes['error.type']],
      [{ code: SpanStatusCode.ERROR, message: 'no disk' }, 'TypeError'],
    );
  }),
);

test(
  'of many that are submitted in one step each has a span and a trace of its own',
  withLeakCheck(async () => {
    await using rig = await followed(echo);
    const calls = await rig.dispatcher.submitMany(echo, [1, 2, 3]);
    await Promise.all(calls.map((call) => call.result));
    await rig.clock.advance(0);
    const spans = rig.telemetry.spans();
    assert.equal(new Set(spans.map((span) => span.spanContext().traceId)).size, 3);
    assert.deepEqual(treeOf(spans), Array(3).fill(['send echo', '  process echo 1 completed']).flat());
  }),
);

test(
  'a context that the submitter has put into the headers is left as it is: the send span is linked with it',
  withLeakCheck(async () => {
    await using rig = await followed(echo);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const call = await rig.dispatcher.submit(echo, 1, { context: { headers: { traceparent } } });
    await call.result;
    await rig.clock.advance(0);
    const [send, run] = rig.telemetry.spans();
    assert.equal(send!.links[0]!.context.spanId, 'b7ad6b7169203331');
    assert.equal(send!.parentSpanContext, undefined);
    assert.equal(run!.parentSpanContext?.spanId, 'b7ad6b7169203331');
    assert.equal(run!.spanContext().traceId, '0af7651916cd43dd8448eb211c80319c');
  }),
);

test(
  'a child is below the run that submits it even without a context manager',
  withLeakCheck(async () => {
    useGlobals({ contexts: false });
    try {
      const parent = defineTask({
        name: 'parent',
        run: async (ctx: CallContext) => (await ctx.submit(echo, 1)).result,
      });
      await using rig = await followed([parent, echo]);
      await rig.dispatcher.call(parent, undefined);
      await rig.clock.advance(0);
      assert.deepEqual(treeOf(rig.telemetry.spans()), [
        'send parent',
        '  process parent 1 completed',
        '    send echo',
        '      process echo 1 completed',
      ]);
    } finally {
      useGlobals();
    }
  }),
);

test(
  'with traces: off a task makes no span and changes no header, and what it submits stays in the trace',
  withLeakCheck(async () => {
    const headers: unknown[] = [];
    const quiet = defineTask({
      name: 'quiet',
      observe: { traces: 'off' },
      run: async (ctx: CallContext) => {
        headers.push(ctx.headers);
        return (await ctx.submit(echo, 1)).result;
      },
    });
    const loud = defineTask({ name: 'loud', run: async (ctx: CallContext) => (await ctx.submit(quiet, 1)).result });
    await using rig = await followed([quiet, loud, echo]);
    await rig.dispatcher.call(quiet, undefined);
    assert.deepEqual(headers, [{}]);
    await rig.dispatcher.call(loud, undefined);
    await rig.clock.advance(0);
    const spans = rig.telemetry.spans();
    assert.deepEqual(
      new Set(spans.map(({ name }) => name)),
      new Set(['send echo', 'process echo', 'send loud', 'process loud']),
    );
    const { traceId } = spans.find(({ name }) => name === 'process loud')!.spanContext();
    assert.equal(spans.filter((span) => span.spanContext().traceId === traceId).length, 4 - 1);
  }),
);

test(
  'with a sample both sides agree which calls are traced, with all their attempts',
  withLeakCheck(async () => {
    const sampled = defineTask({
      name: 'sampled',
      observe: { traces: { sample: 0.3 } },
      retry: { attempts: 2, baseMs: 0 },
      run: ({ attempt }: CallContext) => {
        if (attempt === 1) throw new Error('again');
      },
    });
    await using rig = await followed(sampled, { concurrency: 100 });
    const calls = await rig.dispatcher.submitMany(sampled, Array(100).fill(0));
    await passing(rig.clock, Promise.all(calls.map((call) => call.result)));
    await rig.clock.advance(0);
    const byCall = new Map<unknown, string[]>();
    for (const { name, attributes } of rig.telemetry.spans()) {
      const id = attributes['messaging.message.id'];
      byCall.set(id, [...(byCall.get(id) ?? []), name]);
    }
    assert.ok(byCall.size > 10 && byCall.size < 60, String(byCall.size));
    for (const names of byCall.values()) {
      assert.deepEqual(names, ['send sampled', 'process sampled', 'process sampled']);
    }
  }),
);

test(
  'with slowerThanMs a span is made after the fact, with its true times, below who has submitted the call',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_000_000 });
    const task = defineTask({
      name: 'task',
      observe: { traces: { slowerThanMs: 100 } },
      run: (_ctx, ms: number) => pause(clock, ms),
    });
    await using rig = await followed(task, { clock });
    const tracer = rig.telemetry.tracerProvider.getTracer('test');
    await tracer.startActiveSpan('request', async (span) => {
      await rig.dispatcher.submitMany(task, [50, 100, 300]);
      span.end();
    });
    await clock.advance(1_000);
    const [request, slow, ...others] = rig.telemetry.spans();
    assert.deepEqual([request!.name, slow!.name, others], ['request', 'process task', []]);
    assert.deepEqual(
      [slow!.startTime, slow!.endTime],
      [
        [1_000, 0],
        [1_000, 300_000_000],
      ],
    );
    assert.equal(slow!.parentSpanContext?.spanId, request!.spanContext().spanId);
    assert.equal(slow!.links[0]!.context.spanId, request!.spanContext().spanId);
  }),
);

test(
  'what is disposed of follows no more, and can be followed anew; two at once are refused',
  withLeakCheck(async () => {
    await using telemetry = telemetryOf();
    const dispatcher = new Dispatcher({ tasks: [echo] });
    await dispatcher.start();
    const following = instrument(dispatcher, telemetry.providers);
    assert.throws(() => instrument(dispatcher), /instrumented already/);
    await dispatcher.call(echo, 1);
    assert.equal(telemetry.spans().length, 2);
    following[Symbol.dispose]();
    following[Symbol.dispose]();
    await dispatcher.call(echo, 2);
    assert.equal(telemetry.spans().length, 2);
    const again = instrument(dispatcher, telemetry.providers);
    following[Symbol.dispose]();
    await dispatcher.call(echo, 3);
    assert.equal(telemetry.spans().length, 4);
    again[Symbol.dispose]();
    await dispatcher.stop();
  }),
);

test(
  'without providers the global ones are told',
  withLeakCheck(async () => {
    await using telemetry = telemetryOf();
    trace.setGlobalTracerProvider(telemetry.tracerProvider);
    try {
      const dispatcher = new Dispatcher({ tasks: [echo] });
      using following = instrument(dispatcher);
      assert.ok(following);
      await dispatcher.submit(echo, 1);
      assert.deepEqual(
        telemetry.spans().map(({ name }) => name),
        ['send echo'],
      );
      await dispatcher.stop();
    } finally {
      trace.disable();
    }
  }),
);

test(
  'what is no dispatcher, and what is no provider, is refused',
  withLeakCheck(async () => {
    const dispatcher = new Dispatcher({ tasks: [echo] });
    assert.throws(() => instrument({} as Dispatcher), { name: 'TypeError', message: /dispatcher/ });
    const refused = (options: unknown, message: RegExp) =>
      assert.throws(() => instrument(dispatcher, options as object), { name: 'TypeError', message });
    refused(null, /options/);
    refused({ tracer: 1 }, /tracer .*tracerProvider, meterProvider/);
    refused({ tracerProvider: {} }, /tracerProvider/);
    refused({ meterProvider: 1 }, /meterProvider/);
    await dispatcher.stop();
  }),
);

test(
  'what a processor of spans throws is reported, and breaks no call',
  withLeakCheck(async () => {
    const broken = (): never => {
      throw new Error('broken');
    };
    for (const hooks of [{ onStart: broken }, { onEnd: broken }]) {
      const processor = { onStart() {}, onEnd() {}, forceFlush: async () => {}, shutdown: async () => {}, ...hooks };
      const tracerProvider = new BasicTracerProvider({ spanProcessors: [processor] });
      const errors: Error[] = [];
      await using rig = await rigOf(echo);
      rig.dispatcher.on('error', (error) => errors.push(error as Error));
      using following = instrument(rig.dispatcher, { tracerProvider });
      assert.ok(following);
      assert.equal(await rig.dispatcher.call(echo, 1), 1);
      await rig.clock.advance(0);
      assert.deepEqual(
        errors.map(({ message }) => message),
        ['broken', 'broken'],
      );
    }
  }),
);

test(
  'nodes of a flow are below the run that has their calls made, in flows of flows too',
  withLeakCheck(async () => {
    const inner = flow({ name: 'inner' })
      .node('x', echo)
      .then('y', defineTask({ name: 'last', run: () => 2 }), { inline: true })
      .build();
    const outer = flow({ name: 'outer' })
      .node('a', inner)
      .each('b', echo, { after: 'a', over: () => [1, 2] })
      .build();
    await using rig = await followed(outer);
    await rig.dispatcher.call(outer, 'x');
    await rig.clock.advance(0);
    assert.deepEqual(treeOf(rig.telemetry.spans()), [
      'send outer',
      '  process outer 1 completed',
      '    send inner',
      '      process inner 1 completed',
      '        send inner/x',
      '          process inner/x 1 completed',
      '    send echo',
      '      process echo 1 completed',
      '    send echo',
      '      process echo 1 completed',
    ]);
  }),
);
