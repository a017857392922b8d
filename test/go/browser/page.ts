/**
 * What runs in the page: everything that `errand/go` exports, at work with what browsers have. Older browsers have no
 * `Symbol.dispose`; there all must go well but `using`.
 */
import { channels } from './channels.ts';
import { type Checks, equal, runChecks } from './check.ts';
import { contexts } from './contexts.ts';
import { disposal } from './disposal.ts';
import { groups } from './groups.ts';
import { locks } from './locks.ts';
import { streams } from './streams.ts';
import { time } from './time.ts';

const place: Checks = {
  'this is a browser, with nothing of Node': async () => {
    equal([typeof document, ...['process', 'Buffer', 'setImmediate'].filter((name) => name in globalThis)], ['object']);
  },
};

export const results = await runChecks({
  ...place,
  ...contexts,
  ...channels,
  ...streams,
  ...time,
  ...locks,
  ...groups,
  ...((Symbol.dispose as symbol | undefined) !== undefined && disposal),
});
