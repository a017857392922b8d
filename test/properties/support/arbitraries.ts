/** Programs at random. `Focus` bends the odds towards what a property is about. */
import fc from 'fast-check';
import {
  type Act,
  type Body,
  type Child,
  type Command,
  type Form,
  type ManagerSpec,
  OCCASIONS,
  type Options,
  type Program,
  type Reaction,
  type Reading,
  type ResourceSpec,
  type Retry,
  type Submission,
} from './program.ts';

/** What a property bends. */
export interface Focus {
  /** Fixed parts of the manager. */
  readonly manager?: Partial<ManagerSpec>;
  /** How often a command comes, beside 1 for the usual; 0: never. */
  readonly weights?: Partial<Record<Command['do'], number>>;
  /** How deep children may have children. Default 1. */
  readonly depth?: number;
  /** At most so many children of one task. Default 2. */
  readonly children?: number;
  readonly maxCommands?: number;
  /** Listeners and hooks always act. */
  readonly reactive?: boolean;
}

const MS = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 8 }) },
  { weight: 2, arbitrary: fc.integer({ min: 9, max: 40 }) },
);
const LIMIT_MS = fc.integer({ min: 1, max: 40 });
const KEY = fc.constantFrom('a', 'b', 'c');
const PRIORITY = fc.integer({ min: -2, max: 3 });
const WHICH = fc.nat({ max: 30 });
const OVERFLOW = fc.constantFrom('reject', 'wait', 'drop-oldest', 'drop-lowest' as const);
const READING = fc.constantFrom<Reading>('all', 'slowly', 'some', 'iterate', 'never');

function oneIn<T>(n: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined, freq: n - 1 });
}

/** Without the fields that are undefined: they would not be options. */
function given<T extends object>(record: fc.Arbitrary<T>): fc.Arbitrary<{ [K in keyof T]: Exclude<T[K], undefined> }> {
  return record.map(
    (value) => Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never,
  );
}

const retry: fc.Arbitrary<Retry> = fc.record({
  attempts: fc.integer({ min: 1, max: 4 }),
  backoff: fc.constantFrom<Retry['backoff'][]>('constant', 'linear', 'exponential', 'own', 'throwing'),
  baseMs: MS,
  maxMs: fc.constantFrom(5, 50),
  jitter: fc.constantFrom('none', 'full', 'equal' as const),
  retryIf: fc.oneof(
    { weight: 5, arbitrary: fc.constant('always' as const) },
    { weight: 3, arbitrary: fc.constantFrom('never', 'throws', 'cancels' as const) },
  ),
});

const options: fc.Arbitrary<Options> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 5,
    arbitrary: given(
      fc.record({
        priority: oneIn(2, PRIORITY),
        key: oneIn(2, KEY),
        timeoutMs: oneIn(4, LIMIT_MS),
        queueTimeoutMs: oneIn(8, MS),
        once: oneIn(8, fc.boolean()),
        retry: oneIn(4, retry),
        overflow: oneIn(4, OVERFLOW),
        ownResource: oneIn(4, fc.boolean()),
        signal: oneIn(4, fc.nat({ max: 3 })),
        named: oneIn(6, fc.boolean()),
      }),
    ) as fc.Arbitrary<Options>,
  },
);

const form: fc.Arbitrary<Form> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('method' as const),
      family: fc.oneof(
        { weight: 4, arbitrary: fc.constant('queueTask' as const) },
        {
          weight: 4,
          arbitrary: fc.constantFrom('queueTaskWithPriority', 'queueTaskOnce', 'queueTaskWithPriorityOnce' as const),
        },
        { weight: 2, arbitrary: fc.constant('runTask' as const) },
      ),
      variant: fc.oneof(
        { weight: 2, arbitrary: fc.constant('' as const) },
        { weight: 3, arbitrary: fc.constant('Async' as const) },
        { weight: 2, arbitrary: fc.constantFrom('WithCallback', 'WithTimeout' as const) },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('tryQueueTask', 'go', 'queueTaskStream', 'runTaskSync' as const) }),
  },
);

function bodies(focus: Focus, depth: number, acting: boolean): fc.Arbitrary<Body> {
  const most = focus.children ?? 2;
  const children: fc.Arbitrary<readonly Child[]> =
    depth <= 0
      ? fc.constant([])
      : fc.oneof(
          { weight: 3, arbitrary: fc.constant([]) },
          {
            weight: 2,
            arbitrary: fc.array(
              fc.record({
                submission: submissions(focus, depth - 1, false),
                awaited: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
              }),
              { maxLength: most },
            ),
          },
        );
  const does: fc.Arbitrary<readonly Act[]> = acting
    ? fc.oneof(
        { weight: 6, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(acts(focus, depth - 1, false), { maxLength: 1 }) },
      )
    : fc.constant([]);
  return fc.record({
    sync: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, fc.constant(true)),
    ms: MS,
    manner: fc.oneof(
      { weight: 12, arbitrary: fc.constant('obeys' as const) },
      { weight: 4, arbitrary: fc.constant('ignores' as const) },
      { weight: 1, arbitrary: fc.constantFrom('hangs', 'deaf' as const) },
    ),
    ends: fc.oneof(
      { weight: 4, arbitrary: fc.constant('value' as const) },
      { weight: 3, arbitrary: fc.constantFrom('throws', 'sick' as const) },
    ),
    spoils: fc.constantFrom(1, 2, 99),
    retires: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, fc.constant(true)),
    defers: fc.oneof(
      { weight: 8, arbitrary: fc.constant('nothing' as const) },
      fc.constantFrom('work', 'throw' as const),
    ),
    acts: does,
    children,
    yields: fc.nat({ max: 4 }),
  });
}

function submissions(focus: Focus, depth: number, acting: boolean): fc.Arbitrary<Submission> {
  return fc.record({ form, options, body: bodies(focus, depth, acting), reading: READING });
}

/** What may be done in an instant; `acting`: bodies in it may act too. */
function acts(focus: Focus, depth: number, acting: boolean): fc.Arbitrary<Act> {
  const weight = (name: Command['do'], usual: number): number => Math.round(4 * usual * (focus.weights?.[name] ?? 1));
  return fc.oneof(
    {
      weight: weight('submit', 24),
      arbitrary: fc.record({
        do: fc.constant('submit' as const),
        submission: submissions(focus, depth, acting),
      }),
    },
    {
      weight: weight('map', 2),
      arbitrary: fc.record({
        do: fc.constant('map' as const),
        items: fc.nat({ max: 6 }),
        body: bodies(focus, Math.min(depth, 0), false),
        ordered: fc.boolean(),
        settled: fc.boolean(),
        highWaterMark: fc.nat({ max: 3 }),
        reading: READING,
        options,
      }),
    },
    {
      weight: weight('runOnEach', 1),
      arbitrary: fc.record({ do: fc.constant('runOnEach' as const), body: bodies(focus, 0, false) }),
    },
    { weight: weight('cancel', 4), arbitrary: fc.record({ do: fc.constant('cancel' as const), which: WHICH }) },
    {
      weight: weight('setPriority', 2),
      arbitrary: fc.record({ do: fc.constant('setPriority' as const), which: WHICH, priority: PRIORITY }),
    },
    {
      weight: weight('abort', 2),
      arbitrary: fc.record({
        do: fc.constant('abort' as const),
        signal: fc.nat({ max: 3 }),
        asTimeout: fc.boolean(),
      }),
    },
    {
      weight: weight('cancelBy', 1),
      arbitrary: fc.record({
        do: fc.constant('cancelBy' as const),
        field: fc.constantFrom('key', 'state', 'priority', 'predicate', 'all' as const),
        value: fc.nat({ max: 3 }),
      }),
    },
    {
      weight: weight('pause', 1),
      arbitrary: fc.record({ do: fc.constantFrom('pause', 'resume', 'resume' as const) }),
    },
    {
      weight: weight('recycle', 2),
      arbitrary: fc.record({ do: fc.constantFrom('recycle', 'clear', 'release', 'ready' as const) }),
    },
    {
      weight: weight('resize', 1),
      arbitrary: fc.record({
        do: fc.constant('resize' as const),
        workerCount: fc.integer({ min: 1, max: 3 }),
        more: fc.nat({ max: 2 }),
      }),
    },
    {
      weight: weight('wait', 1),
      arbitrary: given(
        fc.record({
          do: fc.constant('wait' as const),
          until: fc.constantFrom('idle', 'empty', 'short' as const),
          signal: oneIn(2, fc.nat({ max: 3 })),
        }),
      ) as fc.Arbitrary<Act>,
    },
    {
      weight: weight('mistake', 1),
      arbitrary: fc.record({ do: fc.constant('mistake' as const), kind: fc.nat({ max: 4 }) }),
    },
    {
      weight: weight('stop', 0.25),
      arbitrary: fc.record({
        do: fc.constant('stop' as const),
        graceMs: MS,
        timeoutMs: fc.constantFrom(0, 20, 200),
      }),
    },
    { weight: weight('kill', 0.25), arbitrary: fc.record({ do: fc.constant('kill' as const) }) },
  );
}

function commands(focus: Focus): fc.Arbitrary<Command> {
  return fc.oneof(
    { weight: 120, arbitrary: acts(focus, focus.depth ?? 1, true) },
    {
      weight: Math.round(70 * (focus.weights?.advance ?? 1)),
      arbitrary: fc.record({ do: fc.constant('advance' as const), ms: MS }),
    },
    { weight: 12, arbitrary: fc.record({ do: fc.constant('microtasks' as const) }) },
  );
}

const resource: fc.Arbitrary<ResourceSpec> = fc.record({
  createMs: MS,
  failEvery: fc.constantFrom(0, 0, 0, 0, 3, 4),
  hangEvery: fc.constantFrom(0, 0, 0, 0, 4),
  deafEvery: fc.constantFrom(0, 0, 0, 0, 0, 5),
  destroyMs: MS,
  destroyThrows: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
});

function managers(focus: Focus): fc.Arbitrary<ManagerSpec> {
  const reaction: fc.Arbitrary<Reaction> = fc.record({
    on: fc.constantFrom(...OCCASIONS),
    act: acts({ ...focus, weights: { ...focus.weights, kill: 2, cancelBy: 4 } }, 0, false),
  });
  const usual = fc.record({
    workerCount: fc.integer({ min: 1, max: 3 }),
    more: fc.nat({ max: 2 }),
    burstIntervalMs: fc.constantFrom(0, 10, 50),
    scaling: fc.constantFrom('default', 'default', 'random', 'throwing' as const),
    resource: fc.option(resource, { nil: undefined }),
    checkHealth: fc.constantFrom('honest', 'honest', 'honest', 'throwing', 'none' as const),
    maxRetries: fc.nat({ max: 3 }),
    createConcurrency: oneIn(3, fc.integer({ min: 1, max: 2 })),
    createTimeoutMs: fc.constantFrom(20, 1_000),
    maxUses: oneIn(4, fc.integer({ min: 1, max: 3 })),
    maxAgeMs: oneIn(5, LIMIT_MS),
    idleMs: oneIn(3, LIMIT_MS),
    resourcePoolSize: fc.nat({ max: 2 }),
    maxTemporary: fc.nat({ max: 2 }),
    maxQueueSize: fc.constantFrom(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 1, 2, 5),
    overflow: OVERFLOW,
    agingMs: oneIn(3, fc.constantFrom(1, 10)),
    concurrencyPerKey: oneIn(2, fc.integer({ min: 1, max: 2 })),
    timeoutMs: oneIn(8, LIMIT_MS),
    queueTimeoutMs: oneIn(10, LIMIT_MS),
    retry: oneIn(6, retry),
    abandonAfterMs: fc.constantFrom(0, 10, 100, Number.POSITIVE_INFINITY),
    killGraceMs: fc.constantFrom(0, 10, 100),
    asyncContext: fc.boolean(),
    yieldTasks: fc.constantFrom(1, 2, 1_000),
    collectors: fc.constantFrom('counting', 'several', 'default', 'none' as const),
    hooks: fc.oneof({ weight: 5, arbitrary: fc.constant('fine' as const) }, fc.constant('throwing' as const)),
    signal: fc.constantFrom('none', 'none', 'signal', 'context' as const),
    reactions: fc.oneof(
      { weight: focus.reactive ? 0 : 4, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(reaction, { minLength: focus.reactive ? 1 : 0, maxLength: 4 }) },
    ),
  });
  return given(usual.map((spec) => ({ ...spec, ...focus.manager }))) as fc.Arbitrary<ManagerSpec>;
}

/** Programs with a bend. */
export function programs(focus: Focus = {}): fc.Arbitrary<Program> {
  return fc.record({
    manager: managers(focus),
    commands: fc.array(commands(focus), { maxLength: focus.maxCommands ?? 40, size: 'max' }),
    ending: fc.constantFrom('stop', 'stop', 'kill', 'abort' as const),
    graceMs: MS,
    timeoutMs: fc.constantFrom(0, 50, 1_000),
  });
}
