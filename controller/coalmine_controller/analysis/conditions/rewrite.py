"""A checked tree, shortened as expr-lang shortens it before it runs.

Rules: not for speed. expr-lang's optimizer changes what conditions say: ``result.a.b && false`` is
false however wrong its left side is, ``filter(...)[0]`` stops at the first, ``x in ["a", "b"]`` of
constants is an error for a number. The passes are its own, in its order; each looks at a node
when the node's parts are done. What has no effect but speed is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from coalmine_controller.analysis.conditions.arithmetic import arithmetic, negated
from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.kinds import BOOL, FLOAT, INT, LIST, STRING, Kind
from coalmine_controller.analysis.conditions.patterns import check_pattern
from coalmine_controller.analysis.conditions.syntax import (
    Among,
    Binary,
    Call,
    Chain,
    Conditional,
    ConditionError,
    Let,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Member,
    Name,
    Node,
    Pointer,
    Sequence,
    Slice,
    Total,
    Unary,
    first,
)

_Visit = Callable[[Node], Node]
_NUMBERS: Final = frozenset({int, float})
_TYPES: Final = {bool: BOOL, int: INT, float: FLOAT, str: STRING}


def rewrite(node: Node) -> Node:
    """What is evaluated in place of the checked tree `node`. Raises ConditionError for constants that are wrong."""
    for visit in _PASSES:
        node = _walk(node, visit)
    return _walk(node, _compile)


def _walk(node: Node, visit: _Visit) -> Node:
    spine: list[Node] = []
    while (inner := first(node)) is not None:
        spine.append(node)
        node = inner
    done = visit(_leaf(node, visit))
    while spine:
        done = visit(_step(spine.pop(), done, visit))
    return done


def _leaf(node: Node, visit: _Visit) -> Node:
    match node:
        case ListOf() | Sequence() | Total():
            return replace(node, items=tuple(_walk(item, visit) for item in node.items))
        case MapOf():
            return replace(node, pairs=tuple((_walk(key, visit), _walk(value, visit)) for key, value in node.pairs))
        case Conditional(test=test, then=then, otherwise=otherwise):
            parts = _walk(test, visit), _walk(then, visit), _walk(otherwise, visit)
            return replace(node, test=parts[0], then=parts[1], otherwise=parts[2])
        case Let():
            return replace(node, value=_walk(node.value, visit), body=_walk(node.body, visit))
    return node


def _step(node: Node, done: Node, visit: _Visit) -> Node:
    match node:
        case Unary():
            return replace(node, operand=done)
        case Binary():
            return replace(node, left=done, right=_walk(node.right, visit))
        case Member():
            return replace(node, target=done, key=_walk(node.key, visit))
        case Chain():
            return replace(node, inner=done)
        case Slice():
            return replace(node, target=done, start=_optional(node.start, visit), end=_optional(node.end, visit))
        case Call():
            return replace(node, arguments=(done, *(_walk(argument, visit) for argument in node.arguments[1:])))
        case Among():
            return replace(node, item=done)
        case Loop():
            # what `then` holds has been a predicate, and is left alone: so it is there
            predicate, extra = _optional(node.predicate, visit), _optional(node.extra, visit)
            return replace(node, collection=done, predicate=predicate, extra=extra)
        case _:  # pragma: no cover  the rest has no first part
            raise AssertionError(node)


def _optional(node: Node | None, visit: _Visit) -> Node | None:
    return None if node is None else _walk(node, visit)


def _among(node: Node) -> Node:
    """``x in [...]`` of constants that are all strings, or all integers when x is one."""
    match node:
        case Binary(operator="in", left=item, right=ListOf(items=items)) if items:
            values = [choice.value if isinstance(choice, Literal) else None for choice in items]
            kinds = {type(value) for value in values}
            if kinds == {int} and item.type.kind is Kind.INT:
                return Among(node.at, item, frozenset(values), numbers=True, type=node.type)
            if kinds == {str}:
                return Among(node.at, item, frozenset(values), numbers=False, type=node.type)
    return node


def _fold(node: Node) -> Node:
    """Operators on constants; ``&&`` and ``||`` with one constant side; lists of constants."""
    match node:
        case Unary(operator="!", operand=Literal(value=bool() as value)):
            return _constant(node, not value)
        case Unary(operator="+", operand=Literal(value=value)) if type(value) in _NUMBERS:
            return _constant(node, value)
        case Unary(operator="-", operand=Literal(value=value)) if type(value) in _NUMBERS:
            return _constant(node, negated(value))
        case Binary(operator="&&" | "||"):
            return _fold_logic(node)
        case Binary(left=Literal(value=left), right=Literal(value=right)):
            return _fold_constants(node, left, right)
        case ListOf(items=items) if items:
            values = [item.value if isinstance(item, Literal) else None for item in items]
            if all(type(value) in _TYPES for value in values):
                return Literal(node.at, values, LIST)
        case Loop(name="filter", collection=Loop(name="filter") as inner):
            both = Binary(node.at, "&&", _some(inner.predicate), _some(node.predicate), BOOL)
            return replace(inner, at=node.at, predicate=_fold(both), type=node.type)
    return node


def _fold_logic(node: Binary) -> Node:
    decides = node.operator == "||"  # the side that decides alone
    left, right = _bool(node.left), _bool(node.right)
    if left is (not decides):
        return node.right
    if right is (not decides):
        return node.left
    return _constant(node, decides) if decides in (left, right) else node


def _fold_constants(node: Binary, left: Any, right: Any) -> Node:
    one, other = type(left), type(right)
    match node.operator:
        case "==" if one is other and one in (int, str, bool):
            return _constant(node, left == right)
        case "+" if one is other is str:
            return _constant(node, left + right)
        case "%" if one is other is int:
            try:
                return _constant(node, arithmetic("%", left, right, Budget()))
            except ValueError as error:
                raise ConditionError(node.at, str(error)) from error
        case "+" | "-" | "*" | "/" | "**" if one in _NUMBERS and other in _NUMBERS:
            return _constant(node, arithmetic(node.operator, left, right, Budget()))
    return node


def _constant(node: Node, value: Any) -> Literal:
    return Literal(node.at, value, _TYPES[type(value)])


def _bool(node: Node) -> bool | None:
    return node.value if isinstance(node, Literal) and isinstance(node.value, bool) else None


def _in_range(node: Node) -> Node:
    """``x in 1..5`` of constants, when x is an integer: two comparisons."""
    match node:
        case Binary(
            operator="in",
            left=item,
            right=Binary(operator="..", left=Literal(value=int()) as start, right=Literal(value=int()) as end),
        ) if item.type.kind is Kind.INT:
            above = Binary(node.at, ">=", item, start)
            return Binary(node.at, "&&", above, Binary(node.at, "<=", item, end), node.type)
    return node


def _filter_map(node: Node) -> Node:
    """``map(filter(list, p), f)``: one loop, unless f counts the elements."""
    match node:
        case Loop(name="map", collection=Loop(name="filter", then=None) as inner, predicate=body):
            if body is not None and not _mentions_index(body):
                return replace(inner, at=node.at, then=body, type=node.type)
    return node


def _filter_len(node: Node) -> Node:
    match node:
        case Call(name="len", arguments=(Loop(name="filter") as inner,)):
            return replace(inner, at=node.at, name="count", then=None, type=node.type)
    return node


def _filter_end(place: int, function: str, finder: str) -> _Visit:
    """``filter(...)[0]`` and ``first(filter(...))``: the first that fits, and no further; and from the other end."""

    def visit(node: Node) -> Node:
        match node:
            case Member(target=Loop(name="filter") as inner, key=Literal(value=int() as index), optional=False):
                if index == place and not isinstance(index, bool):
                    return replace(inner, at=node.at, name=finder, strict=True, type=node.type)
            case Call(name=name, arguments=(Loop(name="filter") as inner,)) if name == function:
                return replace(inner, at=node.at, name=finder, strict=False, type=node.type)
        return node

    return visit


_COMBINED: Final = {("all", "&&"): "&&", ("any", "||"): "||", ("none", "&&"): "||"}


def _combine(node: Node) -> Node:
    """``all(list, p) && all(list, q)``: one loop over the same list."""
    match node:
        case Binary(left=Loop(name=name) as left, right=Loop(name=other) as right) if name == other:
            operator = _COMBINED.get((name, node.operator))
            if operator and _is_same(left.collection, right.collection):
                both = Binary(node.at, operator, _some(left.predicate), _some(right.predicate), BOOL)
                return replace(left, at=node.at, predicate=_combine(both), type=node.type)
    return node


def _is_same(one: Node, other: Node) -> bool:
    """Whether both are written alike and of one type, as far as expr-lang's own comparison sees."""
    return (one.type.go or "any") == (other.type.go or "any") and _written(one) == _written(other)


def _sum_array(node: Node) -> Node:
    match node:
        case Loop(name="sum", collection=ListOf(items=items), predicate=None) if len(items) >= 2:
            return Total(node.at, items, node.type)
    return node


def _sum_map(node: Node) -> Node:
    match node:
        case Loop(name="sum", collection=Loop(name="map") as inner, predicate=None):
            return replace(inner, at=node.at, name="sum", type=node.type)
    return node


def _compile(node: Node) -> Node:
    """Patterns that folding has made constants are looked at as the others were."""
    match node:
        case Binary(operator="matches", right=Literal(value=str() as pattern)):
            check_pattern(pattern, node.right.at)
        case Loop(then=body) if body is not None:
            _walk(body, _compile)
    return node


_PASSES: Final[tuple[_Visit, ...]] = (
    _among,
    _fold,
    _in_range,
    _filter_map,
    _filter_len,
    _filter_end(-1, "last", "findLast"),
    _filter_end(0, "first", "find"),
    _combine,
    _sum_array,
    _sum_map,
)


def _mentions_index(node: Node) -> bool:
    found = False

    def visit(part: Node) -> Node:
        nonlocal found
        found = found or (isinstance(part, Pointer) and part.name == "index")
        return part

    _walk(node, visit)
    return found


def _written(node: Node) -> list[tuple[Any, ...]]:
    """What `node` says, its parts before itself, without places, types and what rewriting has added.

    Two nodes are written alike when these lists are equal.
    """
    said: list[tuple[Any, ...]] = []

    def visit(part: Node) -> Node:
        words: tuple[Any, ...] = ()
        match part:
            case Literal(value=value):
                words = (type(value), repr(value))
            case Among(choices=choices):
                words = (choices,)
            case Name(name=name) | Pointer(name=name) | Let(name=name):
                words = (name,)
            case Call(name=name, arguments=arguments):
                words = (name, len(arguments))
            case Loop(name=name):
                words = (name, part.predicate is None, part.extra is None)
            case Unary(operator=operator) | Binary(operator=operator):
                words = (operator,)
            case Member(optional=optional):
                words = (optional,)
            case Slice(start=start, end=end):
                words = (start is None, end is None)
            case ListOf(items=items) | Sequence(items=items) | Total(items=items):
                words = (len(items),)
            case MapOf(pairs=pairs):
                words = (len(pairs),)
        said.append((type(part), *words))
        return part

    _walk(node, visit)
    return said


def _some(predicate: Node | None) -> Node:
    assert predicate is not None
    return predicate
