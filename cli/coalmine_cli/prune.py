"""Makes the tree of a rollout fit into a number of lines, what matters least first.

Pure. The order: pods of versions that are neither stable nor canary, those versions, the pods of
large ReplicaSets (one line for all), of all ReplicaSets, analysis that is over, pods at all; in the end
only the ReplicaSets of stable and canary are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from coalmine.model.view import Kind, Mark, Node

_ROLES: Final = frozenset(("stable", "canary"))
#: The worst is told of pods that share a line.
_GRAVITY: Final = (Mark.BAD, Mark.UNKNOWN, Mark.WARNING, Mark.WAITING, Mark.PAUSED, Mark.GOOD, Mark.IDLE)
_Step = Callable[[Node], Node]


def size(node: Node) -> int:
    """Lines of the tree below and with `node`."""
    return 1 + sum(size(child) for child in node.children)


def pruned(root: Node, rows: int) -> Node:
    """`root` in at most `rows` lines if that can be done; what it shows is true, if less."""
    for step in _STEPS:
        if size(root) <= rows:
            break
        root = step(root)
    return root


def _each_set(change: _Step) -> _Step:
    """`change` applied to each ReplicaSet."""

    def changed(node: Node) -> Node:
        if node.kind is Kind.REPLICA_SET:
            return change(node)
        return replace(node, children=tuple(changed(child) for child in node.children))

    return changed


def _without(unwanted: Callable[[Node], bool]) -> _Step:
    def changed(node: Node) -> Node:
        kept = tuple(changed(child) for child in node.children if not unwanted(child))
        return replace(node, children=kept)

    return changed


def _current(node: Node) -> bool:
    """Whether a version is stable or canary."""
    return bool(_ROLES & {str(i) for i in node.info}) or any(_current(child) for child in node.children)


def _folded(least: int) -> _Step:
    """The pods of a ReplicaSet that has `least` or more of them, as one line."""

    def change(node: Node) -> Node:
        pods = [c for c in node.children if c.kind is Kind.POD]
        if len(pods) < max(least, 2):
            return node
        worst = min((p for p in pods if p.mark is not None), key=lambda p: _rank(p.mark), default=pods[0])
        alike = sum(p.status == worst.status for p in pods)
        status = worst.status if alike == len(pods) else f"{worst.status} ({alike})"
        return replace(node, children=(Node(Kind.POD, f"{len(pods)} pods", status, worst.mark),))

    return _each_set(change)


def _sets(node: Node) -> list[Node]:
    """The ReplicaSets of stable and canary."""
    if node.kind is Kind.REPLICA_SET:
        return [node] if _current(node) else []
    return [found for child in node.children for found in _sets(child)]


def _rank(mark: Mark | None) -> int:
    return _GRAVITY.index(mark) if mark is not None else len(_GRAVITY)


_STEPS: Final[tuple[_Step, ...]] = (
    _each_set(lambda node: node if _current(node) else replace(node, children=())),
    _without(lambda node: node.kind is Kind.REVISION and not _current(node)),
    _folded(4),
    _folded(2),
    _without(lambda node: node.kind is Kind.ANALYSIS_RUN and node.mark is Mark.GOOD),
    _without(lambda node: node.kind is Kind.POD),
    lambda root: replace(root, children=tuple(replace(s, children=()) for s in _sets(root))),
)
