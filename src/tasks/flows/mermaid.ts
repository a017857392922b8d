/**
 * Pictures of flows, as texts that Mermaid draws. There is no way back from a picture to a flow: a text can't hold the
 * tasks and functions that a flow is made of.
 */

import { wrongType } from '../checks.ts';
import { definitionOf } from '../define-task.ts';
import type { AnyTask } from '../types.ts';
import type { FlowNodeState } from './board.ts';
import type { FlowNode, FlowRun } from './flows.ts';
import type { FlowPlan, PlanNode } from './plan.ts';

const COLORS: Readonly<Record<FlowNodeState, string>> = {
  waiting: 'fill:#f6f8fa,stroke:#8c959f,color:#24292f',
  running: 'fill:#ddf4ff,stroke:#0969da,color:#24292f',
  completed: 'fill:#dafbe1,stroke:#1a7f37,color:#24292f',
  failed: 'fill:#ffebe9,stroke:#cf222e,color:#24292f',
  skipped: 'fill:#ffffff,stroke:#8c959f,color:#8c959f,stroke-dasharray:4 3',
  canceled: 'fill:#fff8c5,stroke:#9a6700,color:#24292f',
};

/**
 * The text of a Mermaid flowchart of a flow: nodes with a call for each item have double sides, edges to what handles
 * failures are dashed, those to nodes that run inline are thick. With a run, nodes have the color of their state.
 *
 * @throws TypeError when it is no flow, or no run; RangeError when the run is of another flow
 */
export function toMermaid(flow: AnyTask, run?: FlowRun): string {
  const plan = definitionOf(flow, 'flow').flow;
  if (plan === undefined) throw wrongType('flow', 'what flow().build() has given', flow);
  if (run !== undefined) checkRun(plan, run);
  const lines = ['flowchart LR'];
  const stateOf = (name: string): FlowNode | undefined =>
    run !== undefined && Object.hasOwn(run.nodes, name) ? run.nodes[name] : undefined;
  for (const node of plan.nodes) lines.push(`  ${shapeOf(node, stateOf(node.name))}`);
  const idOf = (name: string) => `n${plan.byName.get(name)!}`;
  for (const { after, of, index, isInline } of plan.nodes) {
    for (const name of after) lines.push(`  ${idOf(name)} ${isInline ? '==>' : '-->'} n${index}`);
    for (const name of of) lines.push(`  ${idOf(name)} -. on error .-> n${index}`);
  }
  if (run === undefined) return `${lines.join('\n')}\n`;
  for (const state of Object.keys(COLORS) as FlowNodeState[]) {
    const its = plan.nodes.filter(({ name }) => stateOf(name)?.state === state).map(({ index }) => `n${index}`);
    if (its.length > 0) lines.push(`  classDef ${state} ${COLORS[state]}`, `  class ${its.join()} ${state}`);
  }
  return `${lines.join('\n')}\n`;
}

function checkRun(plan: FlowPlan, run: FlowRun): void {
  if (typeof run !== 'object' || typeof run?.nodes !== 'object') {
    throw wrongType('run', 'what dispatcher.flows.get() has given', run);
  }
  if (run.flow !== plan.name) {
    throw new RangeError(`run must be of the flow ${plan.name}, but is of ${run.flow}`);
  }
}

function shapeOf({ name, index, kind }: PlanNode, node: FlowNode | undefined): string {
  const label = `"${escaped(name)}${countsOf(node)}"`;
  if (kind === 'each') return `n${index}[[${label}]]`;
  return kind === 'onError' ? `n${index}(${label})` : `n${index}[${label}]`;
}

function countsOf(node: FlowNode | undefined): string {
  if (node?.items === undefined) return '';
  const { total, completed, failed } = node.items;
  return `<br/>${completed} of ${total}${failed > 0 ? `, ${failed} failed` : ''}`;
}

/** As codes of characters, of whatever Mermaid, Markdown or HTML might take for something. */
function escaped(text: string): string {
  return text.replace(/[^\p{L}\p{N} ,.:()/_-]/gu, (character) => `#${character.codePointAt(0)};`);
}
