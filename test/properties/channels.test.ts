/**
 * Channels, select and time of errand/go: step by step against a model that goes by explicit queues, and as programs
 * that run free, whose values are counted.
 */
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { property } from './support/check.ts';
import { type ChannelProgram, channelPrograms } from './support/go-channel-program.ts';
import { ChannelWorld } from './support/go-channel-world.ts';
import { crowds, runCrowd } from './support/go-crowd.ts';

const doesAsItsModel = (program: ChannelProgram) => new ChannelWorld(program).run(program.steps);

property(
  'channels do step by step what their model does, whatever is canceled or closed meanwhile',
  250,
  channelPrograms(),
  doesAsItsModel,
);

property(
  'exactly one case of a select happens, the one the model says, and nothing is left of the others',
  250,
  channelPrograms({ channels: 2, weights: { select: 400, advance: 20, close: 12, cancel: 40 } }),
  doesAsItsModel,
);

property(
  'those who loop over a channel share its values, and each loop ends once',
  150,
  channelPrograms({ channels: 1, weights: { next: 160, return: 10, select: 20, receive: 20, close: 25, cancel: 50 } }),
  doesAsItsModel,
);

property(
  'every value sent is received once, in order, or is still there, or was refused, however senders and receivers meet',
  100,
  crowds(20),
  runCrowd,
);

property(
  'thousands of hand-overs in a row are told in order, none is lost, and the event loop has its turns meanwhile',
  5,
  crowds(3_000, true),
  runCrowd,
);

const ONE_CHANNEL = { capacities: [0], iterators: [{ channel: 0, under: 0 }], timers: [0], deadline: 1 };
const SELECT = { do: 'select', defaultAt: undefined, random: [0], under: undefined } as const;
/** The source that isn't errand's own. */
const FOREIGN = 5;

const FOUND: Record<string, ChannelProgram['steps']> = {
  'a loop that is left takes no value for any of its reads that wait': [
    { do: 'next', iterator: 0 },
    { do: 'next', iterator: 0 },
    { do: 'return', iterator: 0 },
    { do: 'trySend', channel: 0, value: 1 },
  ],
  'a loop that a close has ended isn’t ended again by its signal': [
    { do: 'next', iterator: 0 },
    { do: 'close', channel: 0, error: undefined },
    { do: 'cancel', which: 0, cause: 'too late', within: [] },
    { do: 'next', iterator: 0 },
  ],
  'a select that waits to send and to receive finds the end of its channel as a receiver': [
    {
      ...SELECT,
      cases: [
        { on: 'send', channel: 0, value: 1 },
        { on: 'receive', channel: 0 },
      ],
    },
    { do: 'close', channel: 0, error: undefined },
  ],
  'a select inside of a cancel leaves nothing at its channels, though the context doesn’t know yet': [
    {
      do: 'cancel',
      which: FOREIGN,
      cause: 'enough',
      within: [
        {
          ...SELECT,
          cases: [
            { on: 'source', source: FOREIGN },
            { on: 'receive', channel: 0 },
          ],
        },
      ],
    },
    { do: 'trySend', channel: 0, value: 1 },
  ],
};

for (const [name, steps] of Object.entries(FOUND)) {
  test(
    name,
    withLeakCheck(() => doesAsItsModel({ ...ONE_CHANNEL, steps })),
  );
}
