"""Circles of a graph: groups of nodes that all lead to one another."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

Node = TypeVar("Node")


def circles(edges: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """The strongly connected components of a graph, those that others lead to first (Tarjan 1972)."""
    order: dict[Node, int] = {}
    lowest: dict[Node, int] = {}
    stack: list[Node] = []
    waiting: set[Node] = set()
    complete: list[list[Node]] = []
    for root in edges:
        path: list[tuple[Node, Iterator[Node]]] = []
        if root not in order:
            _enter(root, order, lowest, stack, waiting)
            path.append((root, iter(edges[root])))

        while path:
            node, successors = path[-1]
            fresh = _advance(node, successors, order, lowest, waiting)
            if fresh is not None:
                _enter(fresh, order, lowest, stack, waiting)
                path.append((fresh, iter(edges[fresh])))
                continue

            path.pop()
            if path:
                above = path[-1][0]
                lowest[above] = min(lowest[above], lowest[node])
            if lowest[node] == order[node]:
                complete.append(_close(node, stack, waiting))
    return complete


def _enter(node: Node, order: dict[Node, int], lowest: dict[Node, int], stack: list[Node], waiting: set[Node]) -> None:
    order[node] = lowest[node] = len(order)
    stack.append(node)
    waiting.add(node)


def _advance(
    node: Node, successors: Iterator[Node], order: dict[Node, int], lowest: dict[Node, int], waiting: set[Node]
) -> Node | None:
    """The next successor that was not entered before."""
    for successor in successors:
        if successor not in order:
            return successor
        if successor in waiting:
            lowest[node] = min(lowest[node], order[successor])
    return None


def _close(node: Node, stack: list[Node], waiting: set[Node]) -> list[Node]:
    """Takes the circle that starts at a node off the stack."""
    start = stack.index(node)
    circle = stack[start:]
    del stack[start:]
    waiting.difference_update(circle)
    return circle
