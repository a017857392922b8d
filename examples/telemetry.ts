/** What goes on: one stream of events, figures for Prometheus, spans and metrics for OpenTelemetry. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, type ContextManager, context, propagation, ROOT_CONTEXT } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { ConsoleMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, ConsoleSpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { prometheusText } from 'errand/metrics';
import { instrument } from 'errand/otel';
import { Dispatcher, defineTask } from 'errand/tasks';

/** Three things that `new NodeSDK().start()` does in an application: contexts, */
const contexts = new AsyncLocalStorage<Context>();
const contextManager = {
  active: () => contexts.getStore() ?? ROOT_CONTEXT,
  with: (active, fn, thisArg, ...args) => contexts.run(active, () => fn.call(thisArg, ...args)),
  bind: (_, target) => target,
  enable: () => contextManager,
  disable: () => contextManager,
} as ContextManager;
context.setGlobalContextManager(contextManager);
/** headers, */
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
/** and where it all goes: here, to the console, in full. */
const tracerProvider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())],
});
const reader = new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() });
const meterProvider = new MeterProvider({ readers: [reader] });

const thumbnail = defineTask({
  name: 'thumbnail',
  retry: { attempts: 2, baseMs: 1 },
  run: async (ctx, path: string) => {
    if (ctx.attempt === 1 && path === 'b.png') throw new Error('the disk is busy');
    await sleep(1);
    return `${path}.small`;
  },
});
const album = defineTask({
  name: 'album',
  run: async (ctx, paths: string[]) => {
    const calls = await Promise.all(paths.map((path) => ctx.submit(thumbnail, path)));
    return Promise.all(calls.map((call) => call.result));
  },
});
/** Ten thousand of them are no ten thousand spans: only those that take long are worth a look. */
const ping = defineTask({
  name: 'ping',
  observe: { metrics: { sample: 0.1 }, traces: { slowerThanMs: 60_000 } },
  run: () => 'pong',
});

const dispatcher = new Dispatcher({ tasks: [album, thumbnail, ping] });
const telemetry = instrument(dispatcher, { tracerProvider, meterProvider });
const failures = dispatcher.events({ types: ['scheduled', 'failed', 'deadLettered'], filter: { task: 'thumbnail' } });
await dispatcher.start();

console.log(await dispatcher.call(album, ['a.png', 'b.png']));
await Promise.all((await dispatcher.submitMany(ping, Array(10).fill(undefined))).map((call) => call.result));

const text = prometheusText(dispatcher);
for (const line of text.split('\n')) if (/processed_total.*completed|retried_total\{/.test(line)) console.log(line);

await dispatcher.stop();
for await (const event of failures) {
  if (event.type !== 'lost') console.log(`${event.type}: ${(event.call.error as Error).message}`);
}
await meterProvider.shutdown();
await tracerProvider.shutdown();
telemetry[Symbol.dispose]();
