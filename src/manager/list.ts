/**
 * A doubly linked list whose nodes are held by those who may want to leave: joining and leaving are O(1).
 * For the rare relations of a task (children, signals, droppable tasks); the queue itself links tasks directly.
 */

export class ListNode<T> {
  readonly value: T;
  list: List<T> | undefined = undefined;
  previous: ListNode<T> | undefined = undefined;
  next: ListNode<T> | undefined = undefined;

  constructor(value: T) {
    this.value = value;
  }

  /** Leaves the list it is in, if any. */
  remove(): void {
    this.list?.remove(this);
  }
}

export class List<T> {
  first: ListNode<T> | undefined = undefined;
  last: ListNode<T> | undefined = undefined;
  size = 0;

  push(value: T): ListNode<T> {
    const node = new ListNode(value);
    this.append(node);
    return node;
  }

  append(node: ListNode<T>): void {
    node.list = this;
    node.previous = this.last;
    if (this.last === undefined) this.first = node;
    else this.last.next = node;
    this.last = node;
    this.size++;
  }

  remove(node: ListNode<T>): void {
    const { previous, next } = node;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    node.list = undefined;
    node.previous = undefined;
    node.next = undefined;
    this.size--;
  }
}
