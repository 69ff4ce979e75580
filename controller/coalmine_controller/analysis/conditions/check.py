"""Names and types, checked before anything is evaluated, as expr-lang's compiler does.

Rules: the type of the whole result is known; what stands inside a map or a list is ANY and only checked
when evaluated. So ``true || result > 'x'`` on a number is an error although its left side
decides, and ``result.a > 'x'`` is one only when it is reached. Without a result (when a
template is read) nothing is known of the result, and what remains is what no result could make right.
The checked tree knows the type of each of its nodes: `rewrite` and `evaluate` need them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from typing import Final

from coalmine_controller.analysis.conditions import kinds
from coalmine_controller.analysis.conditions.kinds import (
    ANYTHING,
    BOOL,
    FLOAT,
    INT,
    LIST,
    STRING,
    UNKNOWN,
    Kind,
    Type,
    element_of,
    list_of,
)
from coalmine_controller.analysis.conditions.lexer import shortened
from coalmine_controller.analysis.conditions.operators import binary_type
from coalmine_controller.analysis.conditions.parser import PREDICATES
from coalmine_controller.analysis.conditions.patterns import check_pattern
from coalmine_controller.analysis.conditions.signatures import SIGNATURES, ArgumentError, require_key
from coalmine_controller.analysis.conditions.syntax import (
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
    Unary,
    first,
)

RESULT: Final = "result"
#: The builtins of expr-lang that are refused. A condition's answer must depend on nothing but the result:
#: the controller may be killed and evaluate again, and a person may want to know why it said what it said.
_IMPURE: Final = frozenset({"now", "date", "duration", "timezone"})
_LITERALS: Final = {type(None): kinds.NIL, bool: BOOL, int: INT, float: FLOAT, str: STRING}
_YES_OR_NO: Final = frozenset(
    {"all", "any", "none", "one", "filter", "count", "find", "findIndex", "findLast", "findLastIndex"}
)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What names mean: the result, variables, and in predicates the list (innermost last)."""

    result: Type
    variables: tuple[tuple[str, Type], ...] = ()
    pointers: tuple[dict[str, Type], ...] = ()

    def variable(self, name: str) -> Type | None:
        return dict(self.variables).get(name)


def check(node: Node, result: Type) -> Node:
    """`node` with types, when ``result`` is of type `result`. Raises ConditionError."""
    return _check(node, _Scope(result))


def check_condition(node: Node, result: Type) -> Node:
    """`node` with types; it can be a condition, for it gives a bool. Raises ConditionError."""
    checked = check(node, result)
    if checked.type.kind not in (Kind.BOOL, Kind.ANY):
        raise ConditionError(node.at, f"a condition must be true or false, this is {checked.type.words}")
    return checked


def _check(node: Node, scope: _Scope) -> Node:
    spine: list[Node] = []
    while (inner := first(node)) is not None:
        spine.append(node)
        node = inner
    done = _leaf(node, scope)
    while spine:
        done = _step(spine.pop(), done, scope)
    return done


def _leaf(node: Node, scope: _Scope) -> Node:
    match node:
        case Literal():
            return replace(node, type=_LITERALS[type(node.value)])
        case Name():
            return replace(node, type=_named(node, scope))
        case Pointer():
            return replace(node, type=_pointed(node, scope))
        case Call():
            return _call(node, (), scope)
        case ListOf():
            items = _all(node.items, scope)
            return replace(node, items=items, type=_list_type(items))
        case MapOf():
            pairs = tuple((_check(key, scope), _check(value, scope)) for key, value in node.pairs)
            return replace(node, pairs=pairs, type=kinds.MAP)
        case Conditional():
            return _conditional(node, scope)
        case Let():
            return _let(node, scope)
        case Sequence():
            items = _all(node.items, scope)
            return replace(node, items=items, type=items[-1].type)
        case _:  # pragma: no cover  the rest has a first part, or is made later
            raise AssertionError(node)


def _step(node: Node, inner: Node, scope: _Scope) -> Node:
    """`node`, the first part of which has become `inner`."""
    found = inner.type
    match node:
        case Unary(at=at, operator="!"):
            _need(found.kind in (Kind.BOOL, Kind.ANY), at, f"! takes a bool, not {found.words}")
            return replace(node, operand=inner, type=BOOL)
        case Unary(at=at, operator=operator):
            _need(found.number or found.unknown, at, f"{operator} takes a number, not {found.words}")
            return replace(node, operand=inner, type=UNKNOWN if found.unknown else found)
        case Binary():
            right = _check(node.right, scope)
            if node.operator == "matches" and isinstance(right, Literal) and isinstance(right.value, str):
                check_pattern(right.value, right.at)
            given = binary_type(node.operator, node.at, found, right.type)
            return replace(node, left=inner, right=right, type=given)
        case Member():
            key = _check(node.key, scope)
            return replace(node, target=inner, key=key, type=_member(node, found, key.type))
        case Chain():
            return replace(node, inner=inner, type=found)
        case Slice():
            return _slice(node, inner, scope)
        case Call():
            return _call(node, (inner,), scope)
        case Loop():
            return _loop(node, inner, scope)
        case _:  # pragma: no cover  the rest is made later
            raise AssertionError(node)


def _all(nodes: Items[Node], scope: _Scope) -> tuple[Node, ...]:
    return tuple(_check(node, scope) for node in nodes)


def _list_type(items: tuple[Node, ...]) -> Type:
    """All of one kind: of the type of the last. To expr-lang nil and what is not known at all are of one kind."""
    if not items:
        return list_of(UNKNOWN)
    unknown = {UNKNOWN, kinds.NIL}
    found = {UNKNOWN if item.type in unknown else Type(item.type.kind, "") for item in items}
    same = len(found) == 1 and not (
        ANYTHING in {item.type for item in items} and {item.type for item in items} & unknown
    )
    return list_of(items[-1].type) if same else LIST


def _named(node: Name, scope: _Scope) -> Type:
    variable = scope.variable(node.name)
    if variable is not None:
        return variable
    if node.name == RESULT:
        return scope.result
    if node.name in SIGNATURES or node.name in PREDICATES:
        raise ConditionError(node.at, f"{node.name} is a function: expected ( after it")
    if node.name == "$env":
        raise ConditionError(node.at, "$env is not supported by Coalmine: write result")
    known = [RESULT, *(name for name, _ in scope.variables), *SIGNATURES, *PREDICATES]
    raise ConditionError(node.at, f"{shortened(node.name)} is unknown{_meant(node.name, known)}")


def _meant(name: str, known: Items[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if near:
        return f": did you mean {near[0]}?"
    return f": the value measured is {RESULT}, its members are {RESULT}.{shortened(name)} and the like"


def _pointed(node: Pointer, scope: _Scope) -> Type:
    if not scope.pointers or node.name not in scope.pointers[-1]:
        raise ConditionError(
            node.at, f"#{shortened(node.name)} is unknown here: #index stands in map and reduce, #acc in reduce"
        )
    return scope.pointers[-1][node.name]


def _conditional(node: Conditional, scope: _Scope) -> Node:
    test = _check(node.test, scope)
    _need(test.type.kind in (Kind.BOOL, Kind.ANY), test.at, f"? takes a bool before it, not {test.type.words}")
    then, otherwise = _check(node.then, scope), _check(node.otherwise, scope)
    one, other = then.type, otherwise.type
    if one.kind is Kind.NIL:
        given = other
    elif other.kind is Kind.NIL or kinds.assignable(one, other):
        given = one
    else:
        given = UNKNOWN
    return replace(node, test=test, then=then, otherwise=otherwise, type=given)


def _let(node: Let, scope: _Scope) -> Node:
    taken = node.name == RESULT or node.name in SIGNATURES or node.name in PREDICATES or node.name in _IMPURE
    if taken or scope.variable(node.name) is not None:
        raise ConditionError(node.at, f"{shortened(node.name)} has a meaning already: choose another name")
    value = _check(node.value, scope)
    body = _check(node.body, replace(scope, variables=(*scope.variables, (node.name, value.type))))
    return replace(node, value=value, body=body, type=body.type)


def _member(node: Member, target: Type, key: Type) -> Type:
    if target.unknown:
        return UNKNOWN
    if target.kind is Kind.MAP:
        try:
            require_key(target, key)
        except ValueError as error:
            raise ConditionError(node.key.at, str(error)) from error
    elif target.kind is Kind.LIST:
        _need(key.integer or key.unknown, node.at, f"a list is indexed by an integer, not {key.words}")
    else:
        raise ConditionError(node.at, f"{target.words} has no members")
    return element_of(target)


def _slice(node: Slice, target: Node, scope: _Scope) -> Node:
    sliced = target.type.unknown or target.type.kind in (Kind.LIST, Kind.STRING)
    _need(sliced, node.at, f"{target.type.words} cannot be sliced")
    ends: list[Node | None] = []
    for end in (node.start, node.end):
        found = None if end is None else _check(end, scope)
        if found is not None and not target.type.unknown:
            what = f"the ends of a slice are integers, not {found.type.words}"
            _need(found.type.integer or found.type.unknown, found.at, what)
        ends.append(found)
    given = UNKNOWN if target.type.unknown else target.type
    return replace(node, target=target, start=ends[0], end=ends[1], type=given)


def _call(node: Call, given: tuple[Node, ...], scope: _Scope) -> Node:
    if node.name in _IMPURE:
        why = "what a condition says may not depend on clocks and time zones"
        raise ConditionError(node.at, f"{node.name} is not supported by Coalmine: {why}")
    signature = SIGNATURES.get(node.name)
    if signature is None or scope.variable(node.name) is not None:
        raise ConditionError(
            node.at, f"{shortened(node.name)} is no function{_meant(node.name, [*SIGNATURES, *PREDICATES])}"
        )
    arguments = given + _all(node.arguments[len(given) :], scope)
    try:
        gives = signature(node.name, [argument.type for argument in arguments])
    except ArgumentError as error:
        raise ConditionError(arguments[error.position].at, str(error)) from error
    except ValueError as error:
        raise ConditionError(node.at, str(error)) from error
    if node.name in ("isNaN", "isInf"):
        arguments = tuple(_as_float(argument) for argument in arguments)
    return replace(node, arguments=arguments, type=gives)


def _as_float(node: Node) -> Node:
    """Integers that are written where a number is wanted are numbers: those of sums and signs, no others."""
    match node:
        case Literal(value=int() as value) if not isinstance(value, bool):
            return replace(node, value=float(value), type=FLOAT)
        case Unary() if node.type.integer:
            return replace(node, operand=_as_float(node.operand))
        case Binary(operator="+" | "-" | "*") if node.type.integer:
            return replace(node, left=_as_float(node.left), right=_as_float(node.right))
    return node


def _loop(node: Loop, collection: Node, scope: _Scope) -> Node:
    found = collection.type
    has_elements = found.unknown or found.kind is Kind.LIST
    _need(has_elements, collection.at, f"{node.name} goes through a list, not {found.words}")
    element = UNKNOWN if found.unknown else element_of(found)
    pointers: dict[str, Type] = {"": element}
    if node.name in ("map", "reduce"):
        pointers["index"] = INT
    if node.name == "reduce":
        pointers["acc"] = UNKNOWN
    predicate = None
    if node.predicate is not None:
        predicate = _check(node.predicate, replace(scope, pointers=(*scope.pointers, pointers)))
        _predicate(node.name, predicate)
    extra = None if node.extra is None else _check(node.extra, scope)
    gives = _loop_type(node.name, found, element, None if predicate is None else predicate.type)
    return replace(node, collection=collection, predicate=predicate, extra=extra, type=gives)


def _predicate(name: str, predicate: Node) -> None:
    kind = predicate.type.kind
    _need(kind is not Kind.NIL, predicate.at, f"the predicate of {name} gives nil, always")
    if name in _YES_OR_NO:
        what = f"the predicate of {name} must be true or false, this is {predicate.type.words}"
        _need(kind in (Kind.BOOL, Kind.ANY), predicate.at, what)


def _loop_type(name: str, collection: Type, element: Type, predicate: Type | None) -> Type:
    match name:
        case "all" | "any" | "none" | "one":
            return BOOL
        case "count" | "findIndex" | "findLastIndex":
            return INT
        case "filter":
            return LIST if collection.unknown else list_of(element)
        case "map":
            return list_of(predicate or UNKNOWN)
        case "find" | "findLast":
            return element
        case "sum":
            if predicate is None:
                return element
            return ANYTHING if predicate.unknown else predicate
        case "groupBy":
            return kinds.GROUPS
        case "sortBy":
            return collection
        case _:  # reduce
            return predicate or UNKNOWN


def _need(met: bool, at: int, problem: str) -> None:
    if not met:
        raise ConditionError(at, problem)
