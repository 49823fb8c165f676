"""Strongly connected components of a graph, called circles here: definitions that refer to one another."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

Node = TypeVar("Node")


def circles(edges: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """The strongly connected components of a graph, successors first (Tarjan 1972)."""
    order: dict[Node, int] = {}
    lowest: dict[Node, int] = {}
    stack: list[Node] = []
    on_stack: set[Node] = set()
    components: list[list[Node]] = []
    for root in edges:
        path: list[tuple[Node, Iterator[Node]]] = []
        if root not in order:
            _enter(root, order, lowest, stack, on_stack)
            path.append((root, iter(edges[root])))

        while path:
            node, successors = path[-1]
            unvisited = _advance(node, successors, order, lowest, on_stack)
            if unvisited is not None:
                _enter(unvisited, order, lowest, stack, on_stack)
                path.append((unvisited, iter(edges[unvisited])))
                continue

            path.pop()
            if path:
                parent = path[-1][0]
                lowest[parent] = min(lowest[parent], lowest[node])
            if lowest[node] == order[node]:
                components.append(_close(node, stack, on_stack))
    return components


def _enter(node: Node, order: dict[Node, int], lowest: dict[Node, int], stack: list[Node], on_stack: set[Node]) -> None:
    order[node] = lowest[node] = len(order)
    stack.append(node)
    on_stack.add(node)


def _advance(
    node: Node, successors: Iterator[Node], order: dict[Node, int], lowest: dict[Node, int], on_stack: set[Node]
) -> Node | None:
    """The next successor that has not been visited; None if there is none."""
    for successor in successors:
        if successor not in order:
            return successor
        if successor in on_stack:
            lowest[node] = min(lowest[node], order[successor])
    return None


def _close(node: Node, stack: list[Node], on_stack: set[Node]) -> list[Node]:
    """Take the component that starts at a node off the stack."""
    start = stack.index(node)
    circle = stack[start:]
    del stack[start:]
    on_stack.difference_update(circle)
    return circle
