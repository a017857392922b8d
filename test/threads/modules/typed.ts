/** A module to be used by its types alone: threads of Node 20 run no TypeScript. */
import { transfer } from '../../../src/threads/index.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function add(a: number, b: number): number {
  return a + b;
}

export async function addLater(a: number, b = 0, ...more: number[]): Promise<number> {
  return more.reduce((sum, n) => sum + n, a + b);
}

export const double = (n: number): number => 2 * n;

export function either(flag: boolean): number | string {
  return flag ? 7 : 'seven';
}

export function eitherLater(flag: boolean): number | Promise<string> {
  return flag ? 7 : Promise.resolve('seven');
}

export function maybe(flag: boolean): Point | undefined {
  return flag ? { x: 1, y: 2 } : undefined;
}

export function nothing(): void {}

export function never(): never {
  throw new Error();
}

export function list(): readonly Point[] {
  return [];
}

export function map(): Map<string, Set<number>> {
  return new Map();
}

export function text(): string {
  return 'text';
}

export function thenable(): PromiseLike<Point> {
  return Promise.resolve({ x: 1, y: 2 });
}

export function twice(): Promise<Promise<number>> {
  return Promise.resolve(7) as never;
}

export function unknown(): unknown {
  return 7;
}

export function moved(bytes: Uint8Array) {
  return transfer(bytes, [bytes.buffer as ArrayBuffer]);
}

export function* count(to: number): Generator<number, string> {
  yield to;
  return 'end';
}

export async function* countLater(to: number): AsyncGenerator<Point, boolean> {
  yield { x: to, y: to };
  return true;
}

export function* plain() {
  yield 1;
  yield 'two';
}

export async function* plainLater() {
  yield 1n;
}

export async function* iterated(): AsyncIterable<Date> {
  yield new Date();
}

export async function* iterator(): AsyncIterableIterator<Date> {
  yield new Date();
}

export function optional(name?: string, { loud = false }: { loud?: boolean } = {}): string {
  return `${name} ${loud}`;
}

export function generic<T>(value: T): T[] {
  return [value];
}

export class NotAFunction {}
export const answer = 42;
export const point: Point = { x: 1, y: 2 };

export default function unnamed(): boolean {
  return true;
}
