/** Fires once, when its dispatcher has started. Other dispatchers on the engine have their own starts. */
import { ulid } from 'ulid';
import type { NewCall } from '../../engines/index.ts';
import type { Firing } from './firing.ts';
import type { TickEvent } from './ticker.ts';
import type { Job } from './timekeeper.ts';

export interface StartJobOptions {
  readonly firing: Firing;
  readonly now: () => number;
  readonly tell: (tick: TickEvent) => void;
  readonly refused: (error: unknown, what: string) => void;
}

export class StartJob implements Job {
  readonly #options: StartJobOptions;
  /** Of this start: the same however often it has to be submitted. */
  readonly #id: string;
  #startedAt: number | undefined = undefined;
  #isOver = false;

  constructor(options: StartJobOptions) {
    this.#options = options;
    this.#id = `schedule:${options.firing.name}@${ulid()}`;
  }

  begin(now: number): void {
    this.#startedAt = now;
  }

  end(): void {
    this.#isOver = true;
  }

  dueAt(): number | undefined {
    return this.#isOver ? undefined : this.#startedAt;
  }

  /** Nobody knows when that is. */
  next(): undefined {
    return undefined;
  }

  async look(): Promise<number> {
    const at = this.#startedAt!;
    const { firing, tell, refused } = this.#options;
    let call: NewCall;
    try {
      call = await firing.callAt(at, this.#id);
    } catch (error) {
      this.#isOver = true;
      refused(error, `schedule ${firing.name} could not submit what was due at the start`);
      tell(this.#eventOf(at, 'refused'));
      return 0;
    }
    if (this.#isOver) return 0;
    const event: TickEvent = { ...this.#eventOf(at, 'fired'), callId: this.#id };
    await firing.submit(call);
    this.#isOver = true;
    tell(event);
    return 0;
  }

  #eventOf(at: number, outcome: TickEvent['outcome']): TickEvent {
    const { firing, now } = this.#options;
    return { schedule: firing.name, at: new Date(at), outcome, latencyMs: Math.max(0, now() - at) };
  }
}
