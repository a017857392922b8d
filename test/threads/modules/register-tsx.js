// Has a thread load TypeScript by tsx, in all versions of Node: `--import tsx` works in the main thread alone.
import { register } from 'tsx/esm/api';

register();
