/**
 * Random graphs, some nodes of which fail, while dispatchers die and stop, the engine fails, and somebody may cancel.
 * Whatever happens, the run ends; each node has run if its rule says so, and only then; without deaths and faults exactly
 * as often as it takes; and what is told of it in the end is true.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isEnded } from '../../src/engines/index.ts';
import { type CallContext, Dispatcher, defineTask, flow, memoryEngine } from '../../src/tasks/index.ts';
import { type EngineOperation, faultyEngine, VirtualClock } from '../../src/testing/index.ts';
import { property } from '../properties/support/check.ts';
import { mortal } from './kit.ts';

/** What a call does: it fails so often (2 is always), and takes so long. */
interface Fate {
  readonly fails: 0 | 1 | 2;
  readonly ms: number;
}

interface Node {
  readonly kind: 'node' | 'each' | 'settled' | 'onError' | 'flow';
  /** Those it waits for, of those before it. */
  readonly before: readonly number[];
  readonly onFailure: 'fail' | 'skip';
  /** One, or one for each item. */
  readonly fates: readonly Fate[];
}

type Step =
  | {
      readonly do: 'fail';
      readonly operation: EngineOperation;
      readonly times: number;
      readonly when: 'before' | 'after';
    }
  | { readonly do: 'die' | 'stop' | 'open' | 'deafen' | 'go down' | 'come up' | 'cancel' };

interface Program {
  readonly nodes: readonly Node[];
  readonly concurrency: number;
  readonly steps: readonly (readonly [ms: number, step: Step])[];
}

/** What a call of the work is told. */
interface Work extends Fate {
  readonly name: string;
}

const ATTEMPTS = 2;
const TIME_TO_HEAR = 3_000;

/** What must have become of each node, and what must have run how often, by the rules alone. */
function expected(nodes: readonly Node[]) {
  const states: ('completed' | 'failed' | 'skipped')[] = [];
  const runs = new Map<string, number>();
  let hasFailed = false;
  const run = (name: string, { fails }: Fate): boolean => {
    runs.set(name, Math.min(fails + 1, ATTEMPTS));
    return fails < ATTEMPTS;
  };
  for (const [i, { kind, before, onFailure, fates }] of nodes.entries()) {
    const failed = before.filter((each) => states[each] === 'failed');
    const all = () => fates.map((fate, item) => run(`${i}/${item}`, fate)).every(Boolean);
    let state: (typeof states)[number];
    if (kind === 'onError') state = failed.length === 0 ? 'skipped' : run(`${i}`, fates[0]!) ? 'completed' : 'failed';
    else if (failed.some((each) => nodes[each]!.onFailure === 'fail')) state = 'failed';
    else if (before.some((each) => states[each] !== 'completed')) state = 'skipped';
    else if (kind === 'each') state = all() ? 'completed' : 'failed';
    else if (kind === 'settled') {
      all();
      state = 'completed';
    } else if (kind === 'flow')
      state = run(`${i}/x`, { fails: 0, ms: 0 }) && run(`${i}/y`, fates[0]!) ? 'completed' : 'failed';
    else state = run(`${i}`, fates[0]!) ? 'completed' : 'failed';
    states.push(state);
    if (state === 'failed' && onFailure === 'fail') hasFailed = true;
  }
  return { states, runs, hasFailed };
}

// biome-ignore lint/suspicious/noExplicitAny: names that the compiler can't know
type Loose = any;

class World {
  readonly clock = new VirtualClock();
  readonly store = memoryEngine({ clock: this.clock });
  readonly runs = new Map<string, number>();
  readonly #hosts: {
    dispatcher: Dispatcher;
    die: () => void;
    engine: ReturnType<typeof faultyEngine>;
    isGone: boolean;
  }[] = [];
  readonly #program: Program;
  readonly #graph;
  isCalm = true;
  canceledAt: number | undefined = undefined;
  /** What has begun when all had had time to hear of the cancel. */
  readonly late: string[] = [];

  constructor(program: Program) {
    this.#program = program;
    this.#graph = this.#build(program.nodes);
  }

  async run(): Promise<void> {
    const { nodes, steps } = this.#program;
    this.#open();
    const control = new Dispatcher({ tasks: [this.#graph], engine: this.store });
    const run = await control.submit(this.#graph, undefined, { id: 'run' });
    for (const [ms, step] of steps) {
      await this.clock.advance(ms);
      await this.#perform(step, control);
    }
    for (const { engine } of this.#hosts) {
      engine.comeUp();
      engine.deafen(false);
    }
    this.#open();
    const isQuiet = async () =>
      isEnded(run.status) && (await this.store.scan({}, { limit: 1_000 })).every(({ state }) => isEnded(state));
    for (let seconds = 0; seconds < 600 && !(await isQuiet()); seconds++) await this.clock.advance(1_000);
    assert.ok(await isQuiet(), `the run is ${run.status}: ${JSON.stringify((await control.flows.get('run'))?.nodes)}`);
    await this.#check(nodes, control);
    const stopped = Promise.all([...this.#hosts, { dispatcher: control }].map(({ dispatcher }) => dispatcher.stop({ graceMs: 0, timeoutMs: 0 }))); // biome-ignore format: short
    stopped.catch(() => {});
    await this.clock.advance(30_000);
    await this.store.close();
  }

  async #check(nodes: readonly Node[], control: Dispatcher): Promise<void> {
    const { states, runs, hasFailed } = expected(nodes);
    const run = (await control.flows.get('run'))!;
    for (const [name, times] of this.runs) assert.ok(runs.has(name) && times > 0, `${name} must not run`);
    if (run.state === 'canceled') {
      assert.notEqual(this.canceledAt, undefined);
      assert.deepEqual(this.late, [], 'what is canceled goes on');
      return;
    }
    assert.equal(run.state, hasFailed ? 'deadLettered' : 'completed');
    const told = nodes.map((_, i) => run.nodes[`${i}`]!.state);
    assert.deepEqual(told, states);
    for (const [name, times] of runs) {
      const ran = this.runs.get(name) ?? 0;
      if (this.isCalm) assert.equal(ran, times, `${name} has run ${ran} times`);
      else assert.ok(ran >= 1, `${name} has not run`);
    }
  }

  #open(): void {
    const engine = faultyEngine(this.store);
    const { engine: seen, die } = mortal(engine);
    const { concurrency } = this.#program;
    const dispatcher = new Dispatcher({ tasks: [this.#graph], engine: seen, concurrency, leaseMs: 2_000 });
    dispatcher.start().catch(() => {});
    this.#hosts.push({ dispatcher, die, engine, isGone: false });
  }

  async #perform(step: Step, control: Dispatcher): Promise<void> {
    const host = this.#hosts.findLast(({ isGone }) => !isGone);
    if (step.do === 'cancel') {
      await control.cancel('run').then(() => (this.canceledAt ??= this.clock.now()), () => {}); // biome-ignore format: short
      return;
    }
    this.isCalm = false;
    if (step.do === 'open') this.#open();
    else if (host === undefined) return;
    else if (step.do === 'fail') host.engine.failNext(step.operation, { times: step.times, when: step.when });
    else if (step.do === 'deafen') host.engine.deafen();
    else if (step.do === 'go down') host.engine.goDown();
    else if (step.do === 'come up') host.engine.comeUp();
    else {
      host.isGone = true;
      if (step.do === 'die') host.die();
      else host.dispatcher.stop({ graceMs: 100, timeoutMs: 1_000 }).catch(() => {});
      this.#open();
    }
  }

  #build(nodes: readonly Node[]) {
    const { clock } = this;
    const work = defineTask({
      name: 'work',
      retry: { attempts: ATTEMPTS, baseMs: 10 },
      run: async (ctx: CallContext, { name, fails, ms }: Work) => {
        this.runs.set(name, (this.runs.get(name) ?? 0) + 1);
        if (clock.now() > (this.canceledAt ?? Number.POSITIVE_INFINITY) + TIME_TO_HEAR) this.late.push(name);
        if (ms > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
        if (ctx.attempt <= fails || fails === ATTEMPTS) throw new Error(`${name} fails`);
        return name;
      },
    });
    const inner = flow<Work>({ name: 'inner', deadLetter: false })
      .node('x', work, { input: (_, { name }) => ({ name: `${name}/x`, fails: 0 as const, ms: 0 }) })
      .node('y', work, { after: 'x', input: (_, { name, ...fate }) => ({ ...fate, name: `${name}/y` }) })
      .build();
    let graph: Loose = flow({ name: 'graph' });
    for (const [i, { kind, before, onFailure, fates }] of nodes.entries()) {
      const name = `${i}`;
      const after = before.map((each) => `${each}`);
      const input = () => ({ name, ...fates[0]! });
      if (kind === 'onError') graph = graph.onError(name, work, { of: after, onFailure, input });
      else if (kind === 'node') graph = graph.node(name, work, { after, onFailure, input });
      else if (kind === 'flow') graph = graph.node(name, inner, { after, onFailure, input });
      else {
        const over = () => fates.map((fate, item) => ({ name: `${name}/${item}`, ...fate }));
        graph = graph.each(name, work, { after, onFailure, over, settled: kind === 'settled' });
      }
    }
    return graph.build() as ReturnType<ReturnType<typeof flow<unknown>>['build']>;
  }
}

const fate = fc.record({ fails: fc.constantFrom(0, 0, 0, 1, 2), ms: fc.constantFrom(0, 0, 5, 50, 700, 4_000) }) as fc.Arbitrary<Fate>; // biome-ignore format: short
const nodes: fc.Arbitrary<Node[]> = fc
  .array(
    fc.record({
      kind: fc.constantFrom<Node['kind']>('node', 'node', 'node', 'each', 'settled', 'onError', 'flow'),
      before: fc.array(fc.nat(100), { maxLength: 4 }),
      onFailure: fc.constantFrom<Node['onFailure']>('fail', 'skip'),
      fates: fc.array(fate, { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 12, size: 'max' },
  )
  .map((list) =>
    list.map((node, i) => {
      const before = i === 0 ? [] : [...new Set(node.before.map((each) => each % i))];
      return { ...node, before, kind: node.kind === 'onError' && before.length === 0 ? 'node' : node.kind };
    }),
  );
const OPERATIONS: readonly EngineOperation[] = ['begin', 'fetch', 'renew', 'ack', 'fail', 'release', 'update', 'submitMany', 'scan']; // biome-ignore format: short
const fault: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('fail' as const),
    operation: fc.constantFrom(...OPERATIONS),
    times: fc.constantFrom(1, 1, 2, 4),
    when: fc.constantFrom('before' as const, 'after' as const),
  }),
  fc.record({ do: fc.constantFrom('die' as const, 'stop', 'open', 'deafen', 'go down', 'come up') }),
);
const cancel: fc.Arbitrary<Step> = fc.constant({ do: 'cancel' });
const programOf = (step: fc.Arbitrary<Step>, maxLength: number): fc.Arbitrary<Program> =>
  fc.record({
    nodes,
    concurrency: fc.constantFrom(1, 2, 10),
    steps: fc.array(fc.tuple(fc.constantFrom(0, 0, 1, 10, 60, 400), step), { maxLength }),
  });
const runProgram = (program: Program): Promise<void> => new World(program).run();

property('each node of a flow runs exactly when and as often as its rule says', 25, programOf(cancel, 0), runProgram);
property('a flow that is canceled at any time ends', 15, programOf(cancel, 1), runProgram);
property(
  'whatever dies and fails, a flow ends as its rules say, and nothing runs that must not',
  30,
  programOf(fault, 10),
  runProgram,
);
property(
  'nor does a cancel in the midst of it leave anything behind',
  15,
  programOf(fc.oneof({ weight: 4, arbitrary: fault }, { weight: 1, arbitrary: cancel }), 10),
  runProgram,
);
