/** What is mapped where only the way there shall count: async, and nearly nothing more. */
export default async function lengthOf(input: string): Promise<number> {
  return input.length;
}
