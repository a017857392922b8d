/** The memory engine: what holds for all engines, in virtual time and in real. */
import { memoryEngine } from '../../src/engines/index.ts';
import { engineSuite } from '../../src/testing/index.ts';

engineSuite('memory engine', ({ clock }) => memoryEngine({ clock }));
