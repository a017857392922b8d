/**
 * Spans of calls, by OpenTelemetry's conventions for messaging: `send` for a submission, `process` for a run. They are
 * named for the task, as many tasks share a queue.
 *
 * Invariant: what goes along with a call names one creation context, whatever is tried again: the span of its submission,
 * or what the submitter has put there.
 */
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { RunStatus } from '../metrics/dispatcher-metrics.ts';
import { isName, messageOf } from '../tasks/checks.ts';
import type { FollowedRun, Headers, RunEnd, Running, Submission, Submitting } from '../tasks/signals/instrument.ts';

/** Ends of runs that are nobody's failure. */
const FINE: ReadonlySet<RunStatus> = new Set(['completed', 'canceled', 'requeued']);

/** A run under way here: what it submits is below it, be its async context lost or not. */
interface Parent {
  readonly context: Context;
  /** Of its own submission: what it submits inherits it with the headers. */
  readonly creation: SpanContext | undefined;
}

export class Spans {
  readonly #tracer: Tracer;
  readonly #clientId: string;
  readonly #running = new Map<string, Parent>();

  constructor(tracer: Tracer, clientId: string) {
    this.#tracer = tracer;
    this.#clientId = clientId;
  }

  submitting({ call, headers, isForSlow }: Submitting): Submission {
    const { task, version, queue, id, parentId } = call;
    const parent = parentId === undefined ? undefined : this.#running.get(parentId);
    const active = context.active();
    const above = trace.getSpan(active) === undefined && parent !== undefined ? parent.context : active;
    const given = trace.getSpanContext(extracted(headers));
    const isCustom = given !== undefined && given.spanId !== parent?.creation?.spanId;
    if (isForSlow) {
      // No span before one knows, but what is slow can be seen below who has submitted it.
      return { headers: isCustom ? headers : injected(above, headers), end() {} };
    }
    const span = this.#tracer.startSpan(
      `send ${task}`,
      {
        kind: SpanKind.PRODUCER,
        attributes: this.#attributesOf('send', { id, task, version, queue, parentId }),
        links: isCustom ? [{ context: given }] : [],
      },
      above,
    );
    return {
      headers: isCustom ? headers : injected(trace.setSpan(above, span), headers),
      end(failure) {
        if (failure !== undefined) fail(span, failure.error);
        span.end();
      },
    };
  }

  running(running: Running): FollowedRun {
    const { info, headers, slowerThanMs, startedAt } = running;
    const above = extracted(headers);
    if (slowerThanMs > 0) {
      return {
        inContext: (fn) => context.with(above, fn),
        end: (end) => {
          if (end.tookMs > slowerThanMs) finish(this.#start(running, above), end, startedAt);
        },
      };
    }
    const span = this.#start(running, above);
    const own = trace.setSpan(above, span);
    const parent: Parent = { context: own, creation: trace.getSpanContext(above) };
    this.#running.set(info.id, parent);
    return {
      inContext: (fn) => context.with(own, fn),
      end: (end) => {
        // Another run of the call may have begun, if this one has lost its lease.
        if (this.#running.get(info.id) === parent) this.#running.delete(info.id);
        finish(span, end, startedAt);
      },
    };
  }

  #start({ info, parentId, startedAt }: Running, above: Context): Span {
    const attributes = { ...this.#attributesOf('process', { ...info, parentId }), 'errand.attempt': info.attempt };
    const creation = trace.getSpanContext(above);
    const links = creation === undefined ? [] : [{ context: creation }];
    const options = { kind: SpanKind.CONSUMER, attributes, links, startTime: startedAt };
    return this.#tracer.startSpan(`process ${info.task}`, options, above);
  }

  #attributesOf(
    operation: 'send' | 'process',
    call: {
      readonly id: string;
      readonly task: string;
      readonly version: number;
      readonly queue: string;
      readonly parentId: string | undefined;
    },
  ): Attributes {
    return {
      'messaging.system': 'errand',
      'messaging.operation.name': operation,
      'messaging.operation.type': operation,
      'messaging.destination.name': call.queue,
      'messaging.message.id': call.id,
      'messaging.client.id': this.#clientId,
      'errand.task': call.task,
      'errand.task.version': call.version,
      ...(call.parentId !== undefined && { 'errand.parent_id': call.parentId }),
    };
  }
}

/** Of its end, and when that was, by the clock that said when it began. */
function finish(span: Span, { status, error, tookMs }: RunEnd, startedAt: number): void {
  span.setAttribute('errand.status', status);
  const endedAt = startedAt + tookMs;
  if (!FINE.has(status)) fail(span, error, endedAt);
  span.end(endedAt);
}

function fail(span: Span, error: unknown, at?: number): void {
  const message = messageOf(error);
  span.recordException(error instanceof Error ? error : message, at);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  span.setAttribute('error.type', kindOf(error));
}

/** A name of few: a code, or else the name of a class. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code, name } = error as Error & { readonly code?: unknown };
  return typeof code === 'string' && isName(code) ? code : name;
}

function injected(from: Context, headers: Headers): Headers {
  const carrier: Record<string, string> = { ...headers };
  propagation.inject(from, carrier);
  return carrier;
}

function extracted(headers: Headers): Context {
  return propagation.extract(ROOT_CONTEXT, headers);
}
