/** Semaphores, locks and conditions of errand/go: step by step against a model, and as parties that run free. */
import { property } from './support/check.ts';
import { type LockProgram, mutexPrograms, rwMutexPrograms, semaphorePrograms } from './support/go-lock-program.ts';
import { LockWorld } from './support/go-lock-world.ts';
import { buffers, runBuffer, runSections, sections } from './support/go-sections.ts';

const doesAsItsModel = (program: LockProgram) => new LockWorld(program).run(program.steps);

property(
  'a semaphore serves strictly in the order of coming, loses no permit and gives none twice',
  150,
  semaphorePrograms,
  doesAsItsModel,
);

property(
  'readers share a lock, a writer has it alone, and neither overtakes the other',
  100,
  rwMutexPrograms,
  doesAsItsModel,
);

property(
  'a mutex has one holder, a condition loses no signal, and who waited for one holds the mutex again',
  150,
  mutexPrograms,
  doesAsItsModel,
);

property(
  'parties that come and go by using are never in together when they mustn’t, and all get in',
  75,
  sections,
  runSections,
);

property('a buffer under a mutex and two conditions never stands still', 150, buffers, runBuffer);
