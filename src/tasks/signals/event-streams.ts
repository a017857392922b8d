/** The event streams of one dispatcher: each is told from the moment it was asked for until it has ended. */
import type { Engine } from '../../engines/index.ts';
import { wallTimeOf } from '../../go/clock.ts';
import type { Events } from '../dispatcher-events.ts';
import { type DispatcherEventType, type EventOptions, type EventStream, LiveEvents } from './event-stream.ts';

export class EventStreams {
  readonly #engine: Engine;
  readonly #events: Events;
  readonly #open = new Set<LiveEvents>();
  #isOver = false;

  constructor(engine: Engine, events: Events) {
    this.#engine = engine;
    this.#events = events;
  }

  open<T extends DispatcherEventType>(options: EventOptions<T>): EventStream<T> {
    const leave: (() => void)[] = [];
    const ended = (): void => {
      for (const fn of leave.splice(0)) fn();
    };
    const stream = new LiveEvents({ now: () => wallTimeOf(this.#engine.clock), ended }, options);
    try {
      if (this.#isOver) stream.end();
      else this.#tell(stream, leave);
    } catch (error) {
      stream.end();
      throw error;
    }
    return stream as unknown as EventStream<T>;
  }

  /** Nothing more will happen. */
  end(): void {
    this.#isOver = true;
    for (const stream of this.#open) stream.end();
  }

  #tell(stream: LiveEvents, leave: (() => void)[]): void {
    leave.push(this.#engine.watch(undefined, stream.onCall), this.#events.tap(stream));
    this.#open.add(stream);
    leave.push(() => void this.#open.delete(stream));
  }
}
