/** Calls taken by a test in the place of a dispatcher. */
import type { CallFilter, CallRecord, Delivery, Engine, FetchRequest, Lease } from '../engines/index.ts';
import { type CallInfo, describeCall } from '../tasks/call-info.ts';
import { errorToJson } from '../tasks/error-json.ts';
import type { CallerContext, Principal } from '../tasks/index.ts';
import { decodePayload, encodePayload } from '../tasks/payload.ts';
import { CONTROL_PREFIX } from '../tasks/queues.ts';

/** A call that a test has taken, and ends as it likes. */
export interface PoppedCall<I = unknown, O = unknown> {
  /** All that is known of it. */
  readonly info: CallInfo;
  /** What it was submitted with. */
  readonly input: I;
  /** What goes along. */
  readonly headers: Readonly<Record<string, string>>;
  /** On whose behalf it was made. */
  readonly principals: readonly Principal[];
  /** Has it complete with `output`: who waits for its result gets that. */
  complete(output: O): Promise<void>;
  /** Has it fail for good: it is a dead letter if its task says so. */
  fail(error: unknown): Promise<void>;
  /** Puts it back where it was. */
  release(): Promise<void>;
}

/** Whether a call that has failed for good is a dead letter. */
type IsToBeKept = (record: CallRecord) => boolean;

export class Popper {
  readonly #engine: Engine;
  readonly #isToBeKept: IsToBeKept;
  #epoch: Promise<number> | undefined;

  constructor(engine: Engine, isToBeKept: IsToBeKept) {
    this.#engine = engine;
    this.#isToBeKept = isToBeKept;
  }

  /** The most urgent call of those that can be run now, and match. */
  async pop(filter: CallFilter): Promise<PoppedCall<never, never> | undefined> {
    const ready = await this.#engine.scan({ ...filter, state: 'queued' }, { limit: Number.POSITIVE_INFINITY });
    if (ready.length === 0) return undefined;
    const ids = new Set(ready.map(({ id }) => id));
    const queues = [...new Set(ready.map(({ queue }) => queue))].sort();
    const managers = Object.fromEntries(ready.map(({ manager }) => [manager, 1]));
    const passed: Lease[] = [];
    try {
      for (;;) {
        const delivery = await this.#fetch(queues, managers);
        if (delivery === undefined) return undefined;
        if (ids.has(delivery.record.id)) return poppedOf(this.#engine, delivery, this.#isToBeKept);
        passed.push(delivery.lease);
      }
    } finally {
      for (const lease of passed) await this.#engine.release(lease);
    }
  }

  async #fetch(queues: readonly string[], room: FetchRequest['room']): Promise<Delivery | undefined> {
    const [delivery] = await this.#engine.fetch({
      consumer: CONSUMER,
      epoch: await this.#begun(),
      queues: queues.map((name) => ({ name, max: 1 })),
      max: 1,
      room,
      leaseMs: Number.POSITIVE_INFINITY,
    });
    return delivery;
  }

  #begun(): Promise<number> {
    this.#epoch ??= this.#engine.begin(CONSUMER, { onWake() {}, onCancel() {}, onMessage() {} });
    return this.#epoch;
  }
}

/** Not to be taken for a dispatcher. */
const CONSUMER = `${CONTROL_PREFIX}popCall`;

function poppedOf(engine: Engine, { record, lease }: Delivery, isToBeKept: IsToBeKept): PoppedCall<never, never> {
  const info = describeCall(record);
  const { headers = {}, principals = [] } = decodePayload(record.context) as CallerContext;
  return {
    info,
    input: info.input as never,
    headers,
    principals,
    complete: async (output: unknown) => engine.ack(lease, encodePayload(output, 'output', Number.POSITIVE_INFINITY)),
    fail: (error) => {
      const then = isToBeKept(record) ? 'deadLettered' : 'failed';
      return engine.fail(lease, { error: errorToJson(error), then });
    },
    release: () => engine.release(lease),
  };
}
