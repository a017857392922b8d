/** What is mapped where a little work shall be done, and be waited for. */
import { stat } from 'node:fs/promises';

export default async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size;
}
