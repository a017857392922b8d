/**
 * Random graphs, some nodes of which fail, while dispatchers die and stop, the engine fails, and somebody may cancel.
 * Whatever happens, the run ends; each node has run if its rule says so, and only then; without deaths and faults exactly
 * as often as it takes; and what is told of it in the end is true. A run that has failed is resubmitted when nothing fails
 * any more: then what had not completed runs, and nothing else.
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
  readonly kind: 'node' | 'each' | 'settled' | 'onError' | 'flow' | 'inline';
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

/** A node, and those that share its call. */
function chainOf(nodes: readonly Node[], head: number): number[] {
  const chain = [head];
  for (const [i, { kind, before }] of nodes.entries())
    if (kind === 'inline' && chain.includes(before[0]!)) chain.push(i);
  return chain;
}

/** What must have become of each node, and what must have run how often, by the rules alone. */
function expected(nodes: readonly Node[]) {
  const states: ('completed' | 'failed' | 'skipped')[] = [];
  const runs = new Map<string, number>();
  let hasFailed = false;
  const run = (name: string, { fails }: Fate): boolean => {
    runs.set(name, Math.min(fails + 1, ATTEMPTS));
    return fails < ATTEMPTS;
  };
  const failedInCall = new Set<number>();
  /** One call of one or several nodes: what has completed in its first run isn't done again in the second. */
  const call = (head: number): boolean => {
    const left = chainOf(nodes, head);
    for (let attempt = 1; attempt <= ATTEMPTS && left.length > 0; attempt++) {
      while (left.length > 0) {
        const { fails } = nodes[left[0]!]!.fates[0]!;
        runs.set(`${left[0]}`, (runs.get(`${left[0]}`) ?? 0) + 1);
        if (attempt <= fails) break;
        left.shift();
      }
    }
    if (left.length > 0) failedInCall.add(left[0]!);
    return left[0] !== head;
  };
  for (const [i, { kind, before, onFailure, fates }] of nodes.entries()) {
    const failed = before.filter((each) => states[each] === 'failed');
    const all = () => fates.map((fate, item) => run(`${i}/${item}`, fate)).every(Boolean);
    let state: (typeof states)[number];
    if (kind === 'onError') state = failed.length === 0 ? 'skipped' : call(i) ? 'completed' : 'failed';
    else if (failed.some((each) => nodes[each]!.onFailure === 'fail')) state = 'failed';
    else if (before.some((each) => states[each] !== 'completed')) state = 'skipped';
    else if (kind === 'each') state = all() ? 'completed' : 'failed';
    else if (kind === 'settled') {
      all();
      state = 'completed';
    } else if (kind === 'flow')
      state = run(`${i}/x`, { fails: 0, ms: 0 }) && run(`${i}/y`, fates[0]!) ? 'completed' : 'failed';
    else if (kind === 'inline') state = failedInCall.has(i) ? 'failed' : 'completed';
    else state = call(i) ? 'completed' : 'failed';
    states.push(state);
    if (state === 'failed' && onFailure === 'fail') hasFailed = true;
  }
  return { states, runs, hasFailed };
}

/** What must have run how often when a run that has failed is resubmitted, and nothing fails any more. */
function expectedAfter(nodes: readonly Node[]) {
  const { states, runs } = expected(nodes);
  const isHandling: boolean[] = [];
  const again = (name: string) => runs.set(name, (runs.get(name) ?? 0) + 1);
  for (const [i, { kind, before, fates }] of nodes.entries()) {
    isHandling.push(kind === 'onError' || before.some((each) => isHandling[each]));
    if (isHandling[i] || kind === 'inline') continue;
    const isDone = chainOf(nodes, i).every((each) => states[each] === 'completed');
    if (isDone) continue;
    if (kind === 'node') for (const each of chainOf(nodes, i)) again(`${each}`);
    else if (kind === 'flow') for (const each of ['x', 'y']) again(`${i}/${each}`);
    else {
      for (const [item, { fails }] of fates.entries()) {
        const name = `${i}/${item}`;
        if (fails === ATTEMPTS || !runs.has(name)) again(name);
      }
    }
  }
  return { states: isHandling.map((each) => (each ? 'skipped' : 'completed')), runs };
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
  /** Nothing fails any more. */
  isHealed = false;
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
    await this.#becomeQuiet(control);
    await this.#check(nodes, control);
    if (run.status === 'deadLettered') {
      this.isHealed = true;
      await control.deadLetters.resubmit('run');
      await this.#becomeQuiet(control);
      await this.#checkAfter(nodes, control);
    }
    const stopped = Promise.all([...this.#hosts, { dispatcher: control }].map(({ dispatcher }) => dispatcher.stop({ graceMs: 0, timeoutMs: 0 }))); // biome-ignore format: short
    stopped.catch(() => {});
    await this.clock.advance(30_000);
    await this.store.close();
  }

  async #becomeQuiet(control: Dispatcher): Promise<void> {
    const isQuiet = async () => (await this.store.scan({}, { limit: 1_000 })).every(({ state }) => isEnded(state));
    for (let seconds = 0; seconds < 600 && !(await isQuiet()); seconds++) await this.clock.advance(1_000);
    const run = await control.flows.get('run');
    assert.ok(await isQuiet(), `the run is ${run?.state}: ${JSON.stringify(run?.nodes)}`);
  }

  async #checkAfter(nodes: readonly Node[], control: Dispatcher): Promise<void> {
    const { states, runs } = expectedAfter(nodes);
    const run = (await control.flows.get('run'))!;
    assert.equal(run.state, 'completed');
    assert.deepEqual(nodes.map((_, i) => run.nodes[`${i}`]!.state), states); // biome-ignore format: short
    if (this.isCalm) assert.deepEqual(new Map([...this.runs].sort()), new Map([...runs].sort()));
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
    const run = async (ctx: CallContext, { name, fails, ms }: Work) => {
      this.runs.set(name, (this.runs.get(name) ?? 0) + 1);
      if (clock.now() > (this.canceledAt ?? Number.POSITIVE_INFINITY) + TIME_TO_HEAR) this.late.push(name);
      if (ms > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
      if (!this.isHealed && (ctx.attempt <= fails || fails === ATTEMPTS)) throw new Error(`${name} fails`);
      return name;
    };
    const work = defineTask({ name: 'work', retry: { attempts: ATTEMPTS, baseMs: 10 }, run });
    const small = defineTask({ name: 'small', run });
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
      else if (kind === 'inline') graph = graph.node(name, small, { after, input, inline: true });
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
      kind: fc.constantFrom<Node['kind']>('node', 'node', 'node', 'each', 'settled', 'onError', 'flow', 'inline'),
      before: fc.array(fc.nat(100), { maxLength: 4 }),
      onFailure: fc.constantFrom<Node['onFailure']>('fail', 'skip'),
      fates: fc.array(fate, { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 12, size: 'max' },
  )
  .map((list) => {
    const linked = list.map((node, i) => {
      const before = i === 0 ? [] : [...new Set(node.before.map((each) => each % i))];
      const kind = node.kind === 'onError' && before.length === 0 ? 'node' : node.kind;
      return { ...node, before: kind === 'inline' ? before.slice(0, 1) : before, kind };
    });
    const dependents = (i: number) => linked.filter(({ kind, before }) => kind !== 'onError' && before.includes(i));
    const result: Node[] = [];
    for (const node of linked) {
      const [parent] = node.before;
      const canBeInline =
        parent !== undefined &&
        ['node', 'onError', 'inline'].includes(result[parent]!.kind) &&
        dependents(parent).length === 1;
      if (node.kind !== 'inline') result.push(node);
      else result.push(canBeInline ? { ...node, onFailure: 'fail' } : { ...node, kind: 'node' });
    }
    return result;
  });
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

property('each node of a flow runs exactly when and as often as its rule says', 20, programOf(cancel, 0), runProgram);
property('a flow that is canceled at any time ends', 15, programOf(cancel, 1), runProgram);
property(
  'whatever dies and fails, a flow ends as its rules say, and nothing runs that must not',
  24,
  programOf(fault, 10),
  runProgram,
);
property(
  'nor does a cancel in the midst of it leave anything behind',
  15,
  programOf(fc.oneof({ weight: 4, arbitrary: fault }, { weight: 1, arbitrary: cancel }), 10),
  runProgram,
);
