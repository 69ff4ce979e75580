"""Names and types, checked before anything is evaluated, as expr-lang's compiler does.

Rules: the type of the whole result is known; what stands inside a map or a list is ANY and only checked
when evaluated. So ``true || result > 'x'`` on a number is an error although its left side
decides, and ``result.a > 'x'`` is one only when it is reached. Without a result (when a
template is read) the result is ANY, and what remains is what no result could make right.
"""

from __future__ import annotations

from typing import Final

from coalmine_controller.analysis.conditions.functions import FUNCTIONS
from coalmine_controller.analysis.conditions.kinds import ANYTHING, Kind, Type
from coalmine_controller.analysis.conditions.syntax import (
    Binary,
    Call,
    Conditional,
    ConditionError,
    ListOf,
    Literal,
    Member,
    Name,
    Node,
    Unary,
)

RESULT: Final = "result"
_NUMBERS: Final = frozenset({Kind.INT, Kind.FLOAT})
_LITERALS: Final = {
    type(None): Type(Kind.NIL),
    bool: Type(Kind.BOOL),
    int: Type(Kind.INT),
    float: Type(Kind.FLOAT),
    str: Type(Kind.STRING),
}


def check(node: Node, result: Type) -> Type:
    """The type that `node` evaluates to when ``result`` is of type `result`. Raises ConditionError."""
    # Long chains of operators lean to the left: they are walked in a loop, not by recursion.
    spine: list[Binary | Member] = []
    while isinstance(node, Binary | Member):
        spine.append(node)
        node = node.left if isinstance(node, Binary) else node.target
    found = _leaf(node, result)
    while spine:
        parent = spine.pop()
        if isinstance(parent, Binary):
            found = _binary(parent, found, check(parent.right, result))
        else:
            found = _member(parent, found, check(parent.key, result))
    return found


def check_condition(node: Node, result: Type) -> None:
    """Whether `node` can be a condition: it gives a bool. Raises ConditionError."""
    found = check(node, result)
    if found.kind not in (Kind.BOOL, Kind.ANY):
        raise ConditionError(node.at, f"a condition must be true or false, this is {found.words}")


def _leaf(node: Node, result: Type) -> Type:
    match node:
        case Literal(value=value):
            return _LITERALS[type(value)]
        case Name(at=at, name=name):
            if name == RESULT:
                return result
            if name in FUNCTIONS:
                raise ConditionError(at, f"{name} is a function: expected ( after it")
            raise ConditionError(at, f"{name} is unknown: known are {', '.join((RESULT, *FUNCTIONS))}")
        case ListOf(items=items):
            types = [check(item, result) for item in items]
            return Type(Kind.LIST, types[-1] if len({found.kind for found in types}) == 1 else None)
        case Unary(at=at, operator=operator, operand=operand):
            found = check(operand, result)
            if operator == "!":
                _need(found.kind in (Kind.BOOL, Kind.ANY), at, f"{operator} takes a bool, not {found.words}")
                return Type(Kind.BOOL)
            _need(found.kind in _NUMBERS or found == ANYTHING, at, f"{operator} takes a number, not {found.words}")
            return found
        case Conditional(at=at, test=test, then=then, otherwise=otherwise):
            found = check(test, result)
            _need(found.kind in (Kind.BOOL, Kind.ANY), at, f"? takes a bool before it, not {found.words}")
            one, other = check(then, result), check(otherwise, result)
            return one if one == other else ANYTHING
        case Call():
            return _call(node, result)
        case _:  # pragma: no cover  walked by check
            raise AssertionError(node)


def _call(node: Call, result: Type) -> Type:
    function = FUNCTIONS.get(node.name)
    if function is None:
        raise ConditionError(node.at, f"{node.name} is no function: known are {', '.join(FUNCTIONS)}")
    wanted, given = len(function.parameters), len(node.arguments)
    _need(given == wanted, node.at, f"{node.name} takes {wanted} arguments, not {given}")
    for allowed, argument in zip(function.parameters, node.arguments, strict=True):
        found = check(argument, result)
        _need(found == ANYTHING or found.kind in allowed, argument.at, f"{node.name} does not take {found.words}")
    return Type(function.gives)


def _comparable(left: Kind, right: Kind) -> bool:
    """Whether == makes sense: nil may be compared with anything, and so may what is not known."""
    kinds = {left, right}
    return len(kinds) == 1 or kinds <= _NUMBERS or not kinds.isdisjoint({Kind.NIL, Kind.ANY})


def _binary(node: Binary, left_type: Type, right_type: Type) -> Type:
    left, right = left_type.kind, right_type.kind
    known = {left, right} - {Kind.ANY}
    gives = Kind.BOOL
    match node.operator:
        case "==" | "!=":
            fits = _comparable(left, right)
        case "&&" | "||":
            fits = known <= {Kind.BOOL}
        case "<" | ">" | "<=" | ">=":
            fits = known <= _NUMBERS or known == {Kind.STRING}
        case "contains" | "startsWith" | "endsWith":
            fits = known <= {Kind.STRING}
        case "in":
            fits = _may_contain(right_type, left)
        case "+":
            fits, gives = known <= _NUMBERS or known == {Kind.STRING}, _sum(left, right)
        case "-" | "*":
            fits, gives = known <= _NUMBERS, _sum(left, right)
        case "/" | "**":
            fits, gives = known <= _NUMBERS, Kind.FLOAT
        case "%":
            fits, gives = known <= {Kind.INT}, _sum(left, right)
        case "??":
            if left is Kind.NIL:
                return right_type
            return left_type if right is Kind.NIL or left_type == right_type else ANYTHING
        case _:  # pragma: no cover  the parser makes no others
            raise AssertionError(node.operator)
    if not fits:
        hint = "; JSON numbers are not integers" if node.operator == "%" and known <= _NUMBERS else ""
        inside = f" of {right_type.element.words}" if node.operator == "in" and right_type.element else ""
        raise ConditionError(node.at, f"{node.operator} does not take {left.words} and {right.words}{inside}{hint}")
    return Type(gives)


def _may_contain(container: Type, item: Kind) -> bool:
    if container.kind is Kind.LIST:
        return container.element is None or _comparable(item, container.element.kind)
    return container == ANYTHING or (container.kind is Kind.MAP and item in (Kind.STRING, Kind.NIL, Kind.ANY))


def _sum(left: Kind, right: Kind) -> Kind:
    kinds = {left, right}
    if Kind.ANY in kinds:
        return Kind.ANY
    return Kind.FLOAT if Kind.FLOAT in kinds else left


def _member(node: Member, target: Type, key: Type) -> Type:
    if target.kind is Kind.MAP:
        _need(key.kind in (Kind.STRING, Kind.ANY), node.at, f"a map has strings as keys, not {key.words}")
        return ANYTHING
    if target.kind is Kind.LIST:
        _need(key.kind in (Kind.INT, Kind.ANY), node.at, f"a list is indexed by an integer, not {key.words}")
        return target.element or ANYTHING
    _need(target == ANYTHING, node.at, f"{target.words} has no members")
    return ANYTHING


def _need(met: bool, at: int, problem: str) -> None:
    if not met:
        raise ConditionError(at, problem)
