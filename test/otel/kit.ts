/** What the tests of OpenTelemetry share: an SDK that keeps in memory what it is told, and W3C trace context. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Context, type ContextManager, context, propagation, ROOT_CONTEXT } from '@opentelemetry/api';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AggregationTemporality,
  type DataPoint,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { type InstrumentOptions, instrument } from '../../src/otel/index.ts';
import type { AnyTask, Dispatcher } from '../../src/tasks/index.ts';
import { type Rig, type RigOptions, rigOf } from '../tasks/kit.ts';

/** As that of `@opentelemetry/context-async-hooks`. */
class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => fn.call(thisArg, ...args));
  }

  bind<T>(_: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}

/** Has the global propagator and context manager be the usual ones, as an application does at its start. */
export function useGlobals({ contexts = true } = {}): void {
  context.disable();
  propagation.disable();
  if (contexts) context.setGlobalContextManager(new AsyncContexts());
  const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()];
  propagation.setGlobalPropagator(new CompositePropagator({ propagators }));
}

export interface Telemetry extends AsyncDisposable {
  readonly tracerProvider: BasicTracerProvider;
  /** For `instrument`. */
  readonly providers: InstrumentOptions;
  /** Spans that have ended, in this order. */
  spans(): ReadableSpan[];
  /** What a metric comes to, by its attributes as text. */
  points(name: string): Promise<Map<string, DataPoint<unknown>['value']>>;
  /** Of all metrics that have a point. */
  names(): Promise<string[]>;
}

export function telemetryOf(): Telemetry {
  const spanExporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] });
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 31 - 1 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const collected = async () => {
    exporter.reset();
    await reader.forceFlush();
    return exporter.getMetrics()[0]?.scopeMetrics.flatMap((scope) => scope.metrics) ?? [];
  };
  return {
    tracerProvider,
    providers: { tracerProvider, meterProvider },
    spans: () => spanExporter.getFinishedSpans(),
    async points(name) {
      const metric = (await collected()).find(({ descriptor }) => descriptor.name === `errand.dispatcher.${name}`);
      const points: readonly DataPoint<unknown>[] = metric?.dataPoints ?? [];
      return new Map(points.map(({ attributes, value }) => [Object.values(attributes).join(' '), value]));
    },
    async names() {
      return (await collected()).filter(({ dataPoints }) => dataPoints.length > 0).map((each) => each.descriptor.name);
    },
    async [Symbol.asyncDispose]() {
      await tracerProvider.shutdown();
      await meterProvider.shutdown();
    },
  };
}

/** A started dispatcher that is instrumented, and what OpenTelemetry hears of it. */
export async function followed(
  tasks: Parameters<typeof rigOf>[0] | AnyTask,
  options?: RigOptions,
): Promise<Rig & { readonly telemetry: Telemetry; readonly dispatcher: Dispatcher }> {
  const telemetry = telemetryOf();
  const rig = await rigOf(tasks, options);
  const following = instrument(rig.dispatcher, telemetry.providers);
  return {
    ...rig,
    telemetry,
    [Symbol.asyncDispose]: async () => {
      await rig[Symbol.asyncDispose]();
      following[Symbol.dispose]();
      await telemetry[Symbol.asyncDispose]();
    },
  };
}

/** Spans as lines: each under its parent, in the order in which they began. */
export function treeOf(spans: readonly ReadableSpan[]): string[] {
  const lines: string[] = [];
  const add = (parentId: string | undefined, indent: string): void => {
    for (const span of spans) {
      if (span.parentSpanContext?.spanId !== parentId) continue;
      const { 'errand.attempt': attempt, 'errand.status': status } = span.attributes;
      lines.push([indent + span.name, attempt, status].filter((part) => part !== undefined).join(' '));
      add(span.spanContext().spanId, `${indent}  `);
    }
  };
  add(undefined, '');
  return lines;
}
