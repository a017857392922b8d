/**
 * The prime sieve, as the tutorial of Go's first years had it: numbers run through a chain of filters, each of which
 * lets nothing pass that its prime divides. What the last one lets pass is the next prime, and gets a filter of its own.
 */
import { Channel, type ReceiveChannel, type SendChannel } from 'errand/go';

/** 2, 3, 4, and so on, each when somebody takes it. */
async function count(output: SendChannel<number>): Promise<void> {
  for (let n = 2; ; n++) await output.send(n);
}

async function filter(input: ReceiveChannel<number>, output: SendChannel<number>, prime: number): Promise<void> {
  for await (const n of input) if (n % prime !== 0) await output.send(n);
}

// A goroutine is an async function that nobody awaits; `void` says that this is meant.
const primes: number[] = [];
let numbers = new Channel<number>();
void count(numbers);
while (primes.length < 15) {
  const { value: prime, ok } = await numbers.receive();
  if (!ok) break;
  primes.push(prime);
  const passed = new Channel<number>();
  void filter(numbers, passed, prime);
  numbers = passed;
}
console.log(primes.join(' '));

// Sixteen functions still wait on channels. They hold no process, and once nobody can reach them, no memory either.
