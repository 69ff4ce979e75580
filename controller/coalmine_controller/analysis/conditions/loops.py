"""The builtins that take a predicate: all, any, filter, map, reduce, sortBy and the others.

Rules: a predicate is evaluated once for each element, in order, until the answer is known; what
it gives must be a bool where a bool is needed. What is gone through may, inside a result, turn
out to be a map or a string: as in expr-lang, it then has a length, and a map no elements.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from coalmine_controller.analysis.conditions.arithmetic import arithmetic
from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.lists import sorted_by
from coalmine_controller.analysis.conditions.syntax import Loop, Node
from coalmine_controller.analysis.conditions.values import (
    LISTS,
    AnyMap,
    Byte,
    UnfitError,
    encoded,
    words_of,
)


class Evaluation(Protocol):
    """What a loop needs of the evaluation that it is in."""

    budget: Budget
    scopes: list[Scope]

    def value(self, node: Node) -> Any:
        """The value of `node`."""


class Scope:
    """A loop under way: ``#`` is its element at `index`, ``#acc`` what `reduce` has so far."""

    def __init__(self, collection: Any, budget: Budget) -> None:
        self.index = 0
        self.acc: Any = None
        if isinstance(collection, str):
            budget.spend(len(collection))
            collection = [Byte(byte) for byte in encoded(collection)]
        elif not isinstance(collection, (*LISTS, dict, AnyMap)):
            raise UnfitError(f"{words_of(collection)} has no elements")
        self._collection = collection
        self.length = len(collection)

    def pointer(self, name: str) -> Any:
        """``#name``."""
        if name == "index":
            return self.index
        return self.acc if name == "acc" else self.item()

    def item(self) -> Any:
        """The element that the loop is at."""
        if not isinstance(self._collection, LISTS):
            raise UnfitError(f"{words_of(self._collection)} has no elements: take its values(...)")
        if self.index >= self.length:
            raise UnfitError("the list has no elements")
        return self._collection[self.index]


def run_loop(evaluation: Evaluation, node: Loop, collection: Any) -> Any:
    """The value of `node`, whose collection has this value. ValueError for what only values show to be wrong."""
    scope = Scope(collection, evaluation.budget)
    evaluation.scopes.append(scope)
    try:
        return _LOOPS[node.name](evaluation, node, scope)
    finally:
        evaluation.scopes.pop()


def _each(evaluation: Evaluation, node: Loop, scope: Scope, *, backwards: bool = False) -> Iterator[Any]:
    """What the predicate gives for each element, the element itself without one; `scope` stands at it."""
    indices = range(scope.index, scope.length)
    for index in reversed(indices) if backwards else indices:
        evaluation.budget.spend(1)
        scope.index = index
        yield scope.item() if node.predicate is None else evaluation.value(node.predicate)


def _yes(node: Loop, given: Any) -> bool:
    if not isinstance(given, bool):
        raise UnfitError(f"the predicate of {node.name} must be true or false, this is {words_of(given)}")
    return given


def _kept(evaluation: Evaluation, node: Loop, scope: Scope) -> Any:
    return scope.item() if node.then is None else evaluation.value(node.then)


def _all(evaluation: Evaluation, node: Loop, scope: Scope) -> bool:
    return all(_yes(node, given) for given in _each(evaluation, node, scope))


def _any(evaluation: Evaluation, node: Loop, scope: Scope) -> bool:
    return any(_yes(node, given) for given in _each(evaluation, node, scope))


def _count(evaluation: Evaluation, node: Loop, scope: Scope) -> int:
    return sum(_yes(node, given) for given in _each(evaluation, node, scope))


def _filter(evaluation: Evaluation, node: Loop, scope: Scope) -> list[Any]:
    kept = [_kept(evaluation, node, scope) for given in _each(evaluation, node, scope) if _yes(node, given)]
    evaluation.budget.keep(len(kept))
    return kept


def _map(evaluation: Evaluation, node: Loop, scope: Scope) -> list[Any]:
    mapped = list(_each(evaluation, node, scope))
    evaluation.budget.keep(len(mapped))
    return mapped


def _sum(evaluation: Evaluation, node: Loop, scope: Scope) -> Any:
    total: Any = 0
    for given in _each(evaluation, node, scope):
        total = arithmetic("+", given, total, evaluation.budget)
    return total


def _find(evaluation: Evaluation, node: Loop, scope: Scope, *, backwards: bool = False) -> Any:
    for given in _each(evaluation, node, scope, backwards=backwards):
        if _yes(node, given):
            return _kept(evaluation, node, scope)
    if node.strict:
        raise UnfitError("there is no such element")
    return None


def _find_index(evaluation: Evaluation, node: Loop, scope: Scope, *, backwards: bool = False) -> int | None:
    for given in _each(evaluation, node, scope, backwards=backwards):
        if _yes(node, given):
            return scope.index
    return None


def _group(evaluation: Evaluation, node: Loop, scope: Scope) -> AnyMap:
    groups = AnyMap(groups=True)
    for key in _each(evaluation, node, scope):
        item = scope.item()
        group = groups.get(key, None)
        if group is None:
            groups[key] = [item]
        else:
            group.append(item)
    return groups


def _sort(evaluation: Evaluation, node: Loop, scope: Scope) -> list[Any]:
    order = "asc" if node.extra is None else evaluation.value(node.extra)
    if order not in ("asc", "desc"):
        raise UnfitError('the order of sortBy is "asc" or "desc"')
    keyed = [(key, scope.item()) for key in _each(evaluation, node, scope)]
    evaluation.budget.keep(scope.length)
    return [item for _, item in sorted_by(keyed, order == "desc", evaluation.budget)]


def _reduce(evaluation: Evaluation, node: Loop, scope: Scope) -> Any:
    if node.extra is not None:
        scope.acc = evaluation.value(node.extra)
    else:
        scope.acc = scope.item()
        scope.index = 1
    for given in _each(evaluation, node, scope):
        scope.acc = given
    return scope.acc


_LOOPS: Final[dict[str, Callable[[Evaluation, Loop, Scope], Any]]] = {
    "all": _all,
    "any": _any,
    "none": lambda evaluation, node, scope: not _any(evaluation, node, scope),
    "one": lambda evaluation, node, scope: _count(evaluation, node, scope) == 1,
    "filter": _filter,
    "map": _map,
    "count": _count,
    "sum": _sum,
    "find": _find,
    "findIndex": _find_index,
    "findLast": functools.partial(_find, backwards=True),
    "findLastIndex": functools.partial(_find_index, backwards=True),
    "groupBy": _group,
    "sortBy": _sort,
    "reduce": _reduce,
}
