/**
 * Random programs: tasks with all kinds of rules, calls that fail, hang and don't hear, dispatchers that stop and die, an
 * engine that fails in every way. Whatever happens, every call ends, has run at least once if it has completed, never
 * runs beside itself, and no limit is broken.
 */
import { property } from '../properties/support/check.ts';
import { program, runProgram } from './properties-program.ts';

property(
  'whatever happens, every call ends, none runs beside itself, those that complete have run, and no limit is broken',
  40,
  program,
  runProgram,
);
