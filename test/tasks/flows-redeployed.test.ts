/**
 * Flows that change while a run of them is under way: nodes come, go, have a call for each item or share one, in the
 * same version or the next, while dispatchers stop and die. The run ends, and every node gives, and is given, what it
 * does in the flow that is deployed.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type CallContext, Dispatcher, defineTask, type Flow, flow, memoryEngine } from '../../src/tasks/index.ts';
import { VirtualClock } from '../../src/testing/index.ts';
import { property } from '../properties/support/check.ts';
import { mortal } from './kit.ts';

interface Node {
  readonly isThere: boolean;
  readonly kind: 'node' | 'each' | 'inline';
  readonly before: readonly number[];
  readonly fails: boolean;
  readonly ms: number;
}

interface Deployment {
  readonly nodes: readonly Node[];
  readonly isNewVersion: boolean;
  readonly ms: number;
  readonly end: 'stop' | 'die';
}

// biome-ignore lint/suspicious/noExplicitAny: names that the compiler can't know
type Loose = any;

async function run(deployments: readonly Deployment[]): Promise<void> {
  const clock = new VirtualClock();
  const store = memoryEngine({ clock });
  const wrong: string[] = [];
  let isHealed = false;
  let version = 1;
  const work = async (_ctx: CallContext, { name, fails, ms }: { name: string; fails: boolean; ms: number }) => {
    if (ms > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
    if (fails && !isHealed) throw new Error(`${name} fails`);
    return name;
  };
  const tasks = ['work', 'small'].map((name) => defineTask({ name, run: work }));
  const [plain, small] = tasks;
  const build = ({ nodes, isNewVersion }: Deployment) => {
    if (isNewVersion) version++;
    const there = nodes.flatMap(({ isThere }, i) => (isThere || i === 0 ? [i] : []));
    const before = (i: number) => [...new Set(nodes[i]!.before.filter((each) => each < i && there.includes(each)))];
    const kinds = new Map<number, Node['kind']>();
    for (const i of there) {
      const [parent, ...others] = before(i);
      const canBeInline =
        parent !== undefined &&
        others.length === 0 &&
        kinds.get(parent) !== 'each' &&
        there.filter((each) => before(each).includes(parent)).length === 1;
      kinds.set(i, nodes[i]!.kind === 'inline' && !canBeInline ? 'node' : nodes[i]!.kind);
    }
    const outputOf = (i: number) => (kinds.get(i) === 'each' ? [`${i}/0`, `${i}/1`] : `${i}`);
    const expected = Object.fromEntries(there.map((i) => [`n${i}`, outputOf(i)]));
    let graph: Loose = flow({ name: 'graph', version, migrate: (input: unknown) => input });
    for (const i of there) {
      const { fails, ms } = nodes[i]!;
      const given = (results: Readonly<Record<string, unknown>>, name = `${i}`) => {
        for (const [key, result] of Object.entries(results)) {
          if (JSON.stringify(result) !== JSON.stringify(expected[key])) wrong.push(`${key}: ${JSON.stringify(result)}`);
        }
        return { name, fails, ms };
      };
      const after = before(i).map((each) => `n${each}`);
      const over = (results: Readonly<Record<string, unknown>>) => [given(results, `${i}/0`), given(results, `${i}/1`)];
      const input = (results: Readonly<Record<string, unknown>>) => given(results);
      if (kinds.get(i) === 'each') graph = graph.each(`n${i}`, plain, { after, over });
      else if (kinds.get(i) === 'inline') graph = graph.node(`n${i}`, small, { after, input, inline: true });
      else graph = graph.node(`n${i}`, plain, { after, input });
    }
    return { graph: graph.build((results: unknown) => results) as Flow, expected };
  };
  const dispatchers: Dispatcher[] = [];
  const expectedOf = new Map<string | undefined, unknown>();
  for (const deployment of deployments) {
    const { graph, expected } = build(deployment);
    const { engine, die } = mortal(store);
    const dispatcher = new Dispatcher({ tasks: [graph], engine, leaseMs: 2_000 });
    dispatchers.push(dispatcher);
    await dispatcher.start();
    if (dispatchers.length === 1) await dispatcher.submit(graph, undefined, { id: 'run' });
    expectedOf.set(dispatcher.name, expected);
    await clock.advance(deployment.ms);
    if (deployment === deployments.at(-1)) break;
    if (deployment.end === 'die') die();
    else dispatcher.stop({ graceMs: 0, timeoutMs: 100 }).catch(() => {});
    await clock.advance(deployment.end === 'die' ? 0 : 200);
    const record = (await store.get('run'))!;
    if (record.state === 'deadLettered') await store.resubmit({ id: 'run' }, { resetAttempts: true });
  }
  const dispatcher = dispatchers.at(-1)!;
  isHealed = true;
  const state = async () => (await store.get('run'))!.state;
  for (let seconds = 0; seconds < 60 && (await state()) !== 'completed'; seconds++) {
    if ((await state()) === 'deadLettered') await dispatcher.deadLetters.resubmit('run');
    await clock.advance(1_000);
  }
  const told = await dispatcher.flows.get('run');
  assert.equal(told!.state, 'completed', JSON.stringify(told));
  assert.deepEqual(wrong, [], 'nodes were given what is not theirs');
  const [call] = await dispatcher.calls.history({ id: 'run' });
  assert.deepEqual(call!.output, expectedOf.get(call!.consumer));
  const stopped = Promise.all(dispatchers.map((each) => each.stop({ graceMs: 0, timeoutMs: 0 })));
  stopped.catch(() => {});
  await clock.advance(30_000);
  await store.close();
}

const node: fc.Arbitrary<Node> = fc.record({
  isThere: fc.boolean(),
  kind: fc.constantFrom<Node['kind']>('node', 'each', 'inline', 'inline'),
  before: fc.array(fc.nat(5), { maxLength: 2 }),
  fails: fc.constantFrom(false, false, true),
  ms: fc.constantFrom(0, 0, 50, 700),
});
const deployment: fc.Arbitrary<Deployment> = fc.record({
  nodes: fc.array(node, { minLength: 6, maxLength: 6 }),
  isNewVersion: fc.boolean(),
  ms: fc.constantFrom(0, 10, 60, 1_000, 3_000),
  end: fc.constantFrom<Deployment['end']>('stop', 'stop', 'die'),
});

property(
  'a run goes on through all that is done to its flow, and gives what the flow gives that is deployed',
  40,
  fc.array(deployment, { minLength: 1, maxLength: 4 }),
  run,
);
