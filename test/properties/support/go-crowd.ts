/**
 * Programs whose parties run free: senders, receivers, loops, selects, each an async function. No model can foretell
 * them, but their accounts must come out.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Channel } from '../../../src/go/index.ts';
import { VirtualClock } from '../../../src/testing/index.ts';
import { turn } from '../../../src/testing/turn.ts';
import { REASON, UNDER } from './go-arbitraries.ts';
import { Ledger } from './go-ledger.ts';
import { Party, type PartySpec } from './go-party.ts';
import { SharedSources } from './go-scopes.ts';

export interface Crowd {
  readonly capacities: readonly number[];
  readonly parties: readonly PartySpec[];
}

/** How many hand-overs there may be between two turns of the event loop: errand's bound, twice, and the parties. */
const MOST_IN_A_TURN = 2_200;
/** After so many turns without a hand-over, nothing goes on by itself. */
const QUIET_TURNS = 10;
const MOST_TURNS = 2_000;

const ANY_KIND = ['sender', 'receiver', 'loop', 'selector', 'trySender', 'tryReceiver', 'closer', 'canceler'] as const;
const CALM_KINDS = ['sender', 'receiver', 'loop', 'selector'] as const;

/** Up to `most` values a sender; `calm`: and no fewer, and nobody pauses, gives up or looks at the time. */
export function crowds(most: number, calm = false): fc.Arbitrary<Crowd> {
  const party = fc.record<PartySpec>({
    is: fc.oneof(fc.constantFrom(...CALM_KINDS), fc.constantFrom(...(calm ? CALM_KINDS : ANY_KIND))),
    at: fc.array(fc.nat(11), { minLength: 1, maxLength: 4 }),
    count: calm ? fc.constant(most) : fc.integer({ min: 1, max: most }),
    under: calm ? fc.constant(undefined) : UNDER,
    pauses: calm ? fc.constant([]) : fc.array(fc.nat(3), { maxLength: 3 }),
    reason: REASON,
    calm: fc.constant(calm),
  });
  return fc.record({
    capacities: fc.array(fc.constantFrom(0, 0, 1, 2, 5, Number.POSITIVE_INFINITY), { minLength: 1, maxLength: 3 }),
    parties: fc.array(party, { minLength: 2, maxLength: 12, size: 'max' }),
  });
}

export async function runCrowd({ capacities, parties: specs }: Crowd): Promise<void> {
  const ledger = new Ledger(capacities.map((capacity) => new Channel<number>(capacity)));
  const sources = new SharedSources();
  const clock = new VirtualClock();
  const parties = specs.map((spec) => new Party(spec, { ledger, sources, clock }));
  let living = parties.length;
  const played = Promise.all(parties.map((party) => party.play().finally(() => living--)));
  played.catch(() => {}); // until it is awaited

  const pass = async () => {
    const before = ledger.handedOver;
    if (clock.timerCount > 0) await clock.advance(1);
    else await turn();
    ledger.check();
    const count = ledger.handedOver - before;
    assert.ok(clock.now() > 0 || count <= MOST_IN_A_TURN, `${count} hand-overs without a turn of the event loop`);
    return count;
  };
  for (let quiet = 0; quiet < QUIET_TURNS && living > 0; ) quiet = (await pass()) > 0 ? 0 : quiet + 1;
  for (const channel of ledger.channels) if (!channel.closed) channel.close();
  sources.cancelAll();
  for (const party of parties) party.own?.cancel('the end');
  for (let i = 0; i < MOST_TURNS && living > 0; i++) await pass();

  assert.equal(living, 0, 'somebody waits for ever');
  await played;
  ledger.close();
  sources.check();
  for (const party of parties) party.own?.check();
  assert.equal(clock.timerCount, 0, 'timers');
}
