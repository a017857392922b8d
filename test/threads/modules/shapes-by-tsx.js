// A module in JavaScript that loads one in TypeScript.
import { tsImport } from 'tsx/esm/api';

export const { area } = await tsImport('./shapes.ts', import.meta.url);
