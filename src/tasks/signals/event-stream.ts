/** All that happens to calls on an engine, and what a dispatcher says, as one stream that one reads at one's own pace. */
import type { CallEvent, CallFilter, CallState } from '../../engines/index.ts';
import { MOVES } from '../../engines/moves.ts';
import { isMatch } from '../../engines/stored-call.ts';
import { Ring } from '../../go/ring.ts';
import { type WaitOptions, waitScope } from '../../go/wait-queue.ts';
import { type CallInfo, describeCall } from '../call-info.ts';
import { COUNT, checkArray, checkNames, checkObject, checkOneOf, optionalNumber } from '../checks.ts';
import { type DispatcherEvents, EVENT_NAMES } from '../dispatcher-events.ts';
import { checkFilter } from '../filters.ts';

/** Something that has happened. `at` is when this dispatcher has heard of it, in ms since the epoch. */
export type DispatcherEvent =
  /** A call has moved: the type is where it stands now. */
  | { readonly [S in CallState]: { readonly type: S; readonly at: number; readonly call: CallInfo } }[CallState]
  /** A call that runs has given a sign of life, or is to be canceled. */
  | { readonly type: 'progress'; readonly at: number; readonly call: CallInfo }
  /** A call that runs has logged something. */
  | { readonly type: 'log'; readonly at: number; readonly call: CallInfo; readonly lines: readonly string[] }
  /** Who reads was too slow: so many of the events that would have come here are lost. */
  | { readonly type: 'lost'; readonly at: number; readonly count: number }
  | DispatcherNews;

/** What a dispatcher says of itself: its {@link DispatcherEvents}. */
export type DispatcherNews = {
  readonly [E in keyof DispatcherEvents]: {
    readonly type: E;
    readonly at: number;
    readonly detail: DispatcherEvents[E][0];
  };
}[keyof DispatcherEvents];

/** What {@link DispatcherEvent} can be of. */
export type DispatcherEventType = DispatcherEvent['type'];

/** Which events, and how many may wait. */
export interface EventOptions<T extends DispatcherEventType = DispatcherEventType> extends WaitOptions {
  /** Only events of these types; `lost` comes all the same. Default: all. */
  readonly types?: readonly T[] | undefined;
  /** Only calls that match. What the dispatcher says of itself comes all the same. Default: all. */
  readonly filter?: CallFilter | undefined;
  /** How many events may wait to be read before the oldest are lost. Default 1,000. */
  readonly capacity?: number | undefined;
}

/** Events as they are read: `for await`. Leaving the loop ends it, as `return()` does, and disposing of it. */
export interface EventStream<T extends DispatcherEventType = DispatcherEventType>
  extends AsyncIterableIterator<Extract<DispatcherEvent, { readonly type: T | 'lost' }>, undefined>,
    AsyncDisposable {
  /** Ends it: what was still to be read is gone. */
  return(): Promise<IteratorResult<never, undefined>>;
}

type NewsType = keyof DispatcherEvents;

/** What happened, as it was heard: what is to be read of it is made when somebody does. */
type Heard =
  | { readonly at: number; readonly event: Exclude<CallEvent, { readonly type: 'closed' }> }
  | { readonly at: number; readonly news: NewsType; readonly detail: unknown };

interface Reader {
  readonly resolve: (result: IteratorResult<DispatcherEvent, undefined>) => void;
  readonly reject: (cause: unknown) => void;
}

const TYPES: readonly string[] = [...Object.keys(MOVES), 'progress', 'log', 'lost', ...EVENT_NAMES];
const END: IteratorResult<never, undefined> = Object.freeze({ done: true, value: undefined });

export interface StreamHost {
  /** The time of day. */
  now(): number;
  /** The stream has ended: nothing has to be told to it any more. */
  ended(): void;
}

export class LiveEvents implements EventStream {
  readonly #host: StreamHost;
  readonly #types: ReadonlySet<string> | undefined;
  readonly #filter: CallFilter | undefined;
  readonly #capacity: number;
  readonly #heard = new Ring<Heard>();
  #lost = 0;
  /** There are some only while there is nothing to read. */
  readonly #readers: Reader[] = [];
  #isOver = false;
  #failure: { readonly cause: unknown } | undefined = undefined;
  readonly #unsubscribe: (() => unknown) | undefined;

  /** @throws TypeError or RangeError when an option is wrong; the reason of a signal that has fired */
  constructor(host: StreamHost, options: EventOptions) {
    checkObject('options', options);
    checkNames('events', options, ['types', 'filter', 'capacity', 'signal']);
    const { types, filter, capacity } = options;
    const wanted =
      types === undefined
        ? undefined
        : checkArray('types', types).map((type, index) => checkOneOf(`types[${index}]`, type, TYPES));
    this.#host = host;
    this.#types = wanted && new Set(wanted);
    this.#filter = filter === undefined ? undefined : checkFilter(filter);
    this.#capacity = optionalNumber('capacity', capacity, COUNT, 1_000);
    this.#unsubscribe = waitScope(options)?.subscribeWaiter((_, cause) => this.#end({ cause }));
  }

  /** Something has happened to a call. */
  readonly onCall = (event: CallEvent): void => {
    if (event.type === 'closed') this.end();
    else if (this.#wants(typeOf(event)) && (this.#filter === undefined || isMatch(event.record, this.#filter))) {
      this.#hear({ at: this.#host.now(), event });
    }
  };

  /** The dispatcher says something. */
  onNews(news: NewsType, detail: unknown): void {
    if (this.#wants(news)) this.#hear({ at: this.#host.now(), news, detail });
  }

  /** Nothing more will happen. What has happened can still be read. */
  end(): void {
    this.#end(undefined);
  }

  next(): Promise<IteratorResult<DispatcherEvent, undefined>> {
    if (this.#lost > 0) {
      const count = this.#lost;
      this.#lost = 0;
      return Promise.resolve({ done: false, value: { type: 'lost', at: this.#host.now(), count } });
    }
    if (this.#heard.length > 0) return Promise.resolve({ done: false, value: eventOf(this.#heard.shift()!) });
    if (this.#failure !== undefined) return Promise.reject(this.#failure.cause);
    if (this.#isOver) return Promise.resolve(END);
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<never, undefined>> {
    while (this.#heard.length > 0) this.#heard.shift();
    this.#lost = 0;
    this.#end(undefined);
    this.#failure = undefined;
    return Promise.resolve(END);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wants(type: string): boolean {
    return !this.#isOver && (this.#types === undefined || this.#types.has(type));
  }

  #hear(heard: Heard): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: eventOf(heard) });
      return;
    }
    if (this.#heard.length >= this.#capacity) {
      this.#heard.shift();
      this.#lost++;
    }
    this.#heard.push(heard);
  }

  #end(failure: { readonly cause: unknown } | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = failure;
    this.#unsubscribe?.();
    this.#host.ended();
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if (failure === undefined) resolve(END);
      else reject(failure.cause);
    }
  }
}

function typeOf(event: Exclude<CallEvent, { readonly type: 'closed' }>): DispatcherEventType {
  if (event.type === 'state') return event.record.state;
  return event.type === 'log' ? 'log' : 'progress';
}

function eventOf(heard: Heard): DispatcherEvent {
  const { at } = heard;
  if ('news' in heard) return { type: heard.news, at, detail: heard.detail } as DispatcherNews;
  const { event } = heard;
  const call = describeCall(event.record);
  if (event.type === 'log') return { type: 'log', at, call, lines: event.lines };
  return { type: event.type === 'state' ? event.record.state : 'progress', at, call };
}
