/**
 * What ending.test.ts runs as a process of its own: `ending.program.ts <scenario>`. No timer of its own holds the
 * process, so that it ends as soon as no manager holds it.
 */
import { TaskManager } from '../../src/manager/index.ts';

/** Resolves after a while, without holding the process. */
function pause(ms = 30): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  /** Managers in every way of having nothing to do. */
  async idle() {
    new TaskManager();
    const resources = { onCreate: () => ({}), onDestroy: () => {} };
    const used = new TaskManager({ workerCount: 2, ...resources });
    await used.queueTask(() => {});
    await used.runTask(() => {});
    const paused = new TaskManager({ workerCount: 1, maxAgeMs: 100_000, ...resources });
    await paused.queueTask(() => {}, { timeoutMs: 100_000, queueTimeoutMs: 100_000 });
    paused.pause();
    const listening = new TaskManager({ workerCount: 1 });
    listening.stopOnSignals();
    listening.on('idle', () => {});
    const burst = new TaskManager({ workerCount: 1, maxWorkerCount: 4, burstIntervalMs: 5, scaling: () => 4 });
    await burst.queueTask(() => new Promise((resolve) => setTimeout(resolve, 30)));
    if (burst.stats().burstWorkers !== 3) throw new Error('the burst did not come');
    const failing = new TaskManager({
      workerCount: 1,
      createAttempts: 2,
      onCreate: () => {
        throw new Error('no database');
      },
    });
    await failing.ready().catch(() => {});
    const stopped = new TaskManager({ workerCount: 1, ...resources });
    await stopped.stop();
    const killed = new TaskManager({ workerCount: 1, killGraceMs: 10, ...resources });
    killed.queueTask(() => new Promise(() => {})).catch(() => {});
    await killed.kill();
    say('idle');
  },

  /** One manager after the other has work, and nothing else holds the process. */
  async busy() {
    const running = new TaskManager({ workerCount: 1 });
    await running.queueTask(() => pause());
    say('running');
    await new Promise((resolve) => setImmediate(resolve));
    await running.queueTask(() => pause());
    say('running again');
    await running.runTask(() => pause());
    say('past the queue');

    const queued = new TaskManager({ workerCount: 1 });
    queued.pause();
    pause().then(() => queued.resume());
    await queued.queueTask(() => {});
    say('queued');

    const retried = new TaskManager({ workerCount: 1, retry: { attempts: 2, baseMs: 30 } });
    await retried.queueTask(({ attempt }) => {
      if (attempt === 1) throw new Error('once more');
    });
    say('between two attempts');

    let calls = 0;
    const creating = new TaskManager({
      workerCount: 1,
      onCreate: () => {
        if (++calls < 3) throw new Error('not yet');
      },
    });
    await creating.queueTask(() => {});
    say('waiting for a resource');

    calls = 0;
    await new TaskManager({
      workerCount: 1,
      onCreate: () => {
        if (++calls < 3) throw new Error('not yet');
      },
    }).ready();
    say('to be ready');

    const called = new TaskManager({ workerCount: 1 });
    await new Promise((resolve) => called.queueTaskWithCallback(() => pause(), resolve));
    say('to be called back');

    const destroyed = new TaskManager({ workerCount: 1, onCreate: () => ({}), onDestroy: () => pause() });
    await destroyed.ready();
    await destroyed.stop();
    say('stopping');

    const hanging = new TaskManager({ workerCount: 1, killGraceMs: 30 });
    hanging.queueTask(() => new Promise(() => {})).catch(() => {});
    await hanging.kill();
    say('being killed');
  },

  /** Runs a task until it is told that the manager stops, and then for as long as it takes to hear a second signal. */
  async signals() {
    const manager = new TaskManager({ workerCount: 1, onCreate: () => 'resource', onDestroy: () => say('destroyed') });
    manager.stopOnSignals();
    manager.on('stopped', (summary) => say(`stopped ${JSON.stringify(summary)}`));
    const task = manager.queueTask(async (ctx) => {
      ctx.stopping.addEventListener('abort', () => say('stopping'), { once: true });
      say('running');
      const patient = process.argv[3] === 'patient';
      await (patient ? ctx.done() : new Promise((resolve) => ctx.stopping.addEventListener('abort', resolve)));
      return 'done';
    });
    await task.then(say, (error) => say(`${error.name}: ${error.message}`));
  },

  /** Takes its handlers back, and runs on. */
  async disposed() {
    const manager = new TaskManager({ workerCount: 1 });
    manager.stopOnSignals(['SIGTERM'])();
    say('running');
    await manager.queueTask((ctx) => ctx.done());
  },
};

await scenarios[process.argv[2]!]!();
