/** What does each option of a task add, in floors? A single timeoutMs has a budget, and so a suite: timeouts. */
import { batch, type Submit } from './lib/batch.ts';
import { createManagers, type Manager } from './lib/errand.ts';
import { floor } from './lib/peers.ts';
import { added, type Suite } from './lib/suite.ts';

const TASKS = 200_000;
const DURATIONS = 5_000;
const KEYS = Array.from({ length: 100 }, (_, i) => `tenant-${i}`);

/** One signal for all, as of the request that they belong to. It never fires. */
const { signal } = new AbortController();

const WITH: Record<string, (manager: Manager) => Submit> = {
  plain: (manager) => (task) => manager.queueTask(task),
  durations: (manager) => (task, i) => manager.queueTask(task, { timeoutMs: 60_000 + (i % DURATIONS) }),
  queueTimeoutMs: (manager) => (task) => manager.queueTask(task, { queueTimeoutMs: 60_000 }),
  signal: (manager) => (task) => manager.queueTask(task, { signal }),
  keys: (manager) => (task, i) => manager.queueTask(task, { key: KEYS[i % KEYS.length]! }),
};

export const suite: Suite = {
  name: 'options',
  question: 'what an option adds to a plain task, in floors',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    added('timeoutMs with 5,000 durations adds / the floor', 'durations', 'plain'),
    added('queueTimeoutMs adds / the floor', 'queueTimeoutMs', 'plain'),
    added('a shared signal adds / the floor', 'signal', 'plain'),
    added('100 keys add / the floor', 'keys', 'plain'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const cases = [
      ...managers.flatMap(([mode, manager]) =>
        Object.entries(WITH).map(([name, submit]) => batch(name, tasks, submit(manager), mode)),
      ),
      batch('floor', tasks, floor),
    ];
    return { cases, tearDown };
  },
};
