/** Whether there still are resources to work with. */
import { ShutdownError, type TaskManager } from '../manager/index.ts';

/** Calls `fail` when no worker has a resource, and none can be made: at first, or after all were found to be bad. */
export function watchResources(manager: TaskManager<unknown>, fail: (error: unknown) => void): void {
  let isWaiting = false;
  const watch = (): void => {
    if (isWaiting) return;
    isWaiting = true;
    manager.ready().then(
      () => {
        isWaiting = false;
      },
      (error: unknown) => {
        if (!(error instanceof ShutdownError)) fail(error);
      },
    );
  };
  manager.on('workerReplaced', watch);
  watch();
}
