"""The value of a checked and rewritten tree on a result.

Rules: an evaluator on the tree, never Python's eval. Types that `check` could not know are
checked here: ``==`` across types is false, ordering and arithmetic across types is an error. What
`check` believed to know and got wrong is an error too, as it is there: two that it takes for
integers are compared as integers, and what turns out to be none is refused.
Every node costs a step, see `budget`.
"""

from __future__ import annotations

from typing import Any, Final

from coalmine_controller.analysis.conditions.arithmetic import arithmetic, negated
from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.functions import FUNCTIONS
from coalmine_controller.analysis.conditions.kinds import Kind
from coalmine_controller.analysis.conditions.lists import contains, fetch, sliced
from coalmine_controller.analysis.conditions.loops import Scope, run_loop
from coalmine_controller.analysis.conditions.patterns import NEW_PATTERN, matches
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
from coalmine_controller.analysis.conditions.values import (
    UnfitError,
    equal,
    is_nil,
    like_bytes,
    ordered,
    to_int,
    words_of,
    wrapped,
)

RESULT: Final = "result"
_SAME: Final = {Kind.INT: int, Kind.STRING: str}


def evaluate(node: Node, result: Any) -> Any:
    """The value of `node`. Raises ConditionError for what only the values show to be wrong."""
    try:
        return _Evaluation(result).value(node)
    except RecursionError:
        raise ConditionError(node.at, "it makes values that nest too deeply: nest them less") from None


class _Evaluation:
    """One evaluation: the result, the variables, the loops that it is in, what is left to spend."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.budget = Budget()
        self.scopes: list[Scope] = []
        self._variables: dict[str, Any] = {}
        self._patterns: set[str] = set()

    def value(self, node: Node) -> Any:
        """The value of `node`."""
        spine: list[Node] = []
        while (inner := first(node)) is not None:
            spine.append(node)
            node = inner
        try:
            self.budget.spend(1 + len(spine))
            value = self._leaf(node)
            while spine:
                node = spine.pop()
                if isinstance(node, Member) and node.optional and is_nil(value):
                    while not isinstance(spine.pop(), Chain):  # nothing of the chain is evaluated
                        pass
                    value = None
                    continue
                value = self._step(node, value)
        except ConditionError:
            raise
        except ValueError as error:
            raise ConditionError(node.at, str(error)) from error
        return value

    def _leaf(self, node: Node) -> Any:
        match node:
            case Literal(value=value):
                return value
            case Name(name=name):
                return self.result if name == RESULT else self._variables[name]
            case Pointer(name=name):
                return self.scopes[-1].pointer(name)
            case ListOf(items=items):
                values = [self.value(item) for item in items]
                self.budget.keep(len(values))
                return values
            case MapOf():
                return self._map(node)
            case Conditional(test=test, then=then, otherwise=otherwise):
                return self.value(then if _bool(self.value(test), test.at, "?") else otherwise)
            case Let(name=name, value=given, body=body):
                self._variables[name] = self.value(given)
                return self.value(body)
            case Sequence(items=items):
                for item in items[:-1]:
                    self.value(item)
                return self.value(items[-1])
            case Call(name=name):
                return FUNCTIONS[name](self, ())
            case Total(items=items):
                total, *others = reversed([self.value(item) for item in items])
                for value in others:
                    total = arithmetic("+", value, total, self.budget)
                return total
            case _:  # pragma: no cover  the rest has a first part
                raise AssertionError(node)

    def _step(self, node: Node, value: Any) -> Any:
        """The value of `node`, the first part of which has the value `value`."""
        match node:
            case Binary():
                return self._binary(node, value)
            case Member(key=key):
                return fetch(value, self.value(key), self.budget)
            case Chain():
                return None if is_nil(value) else value
            case Call(name=name, arguments=arguments):
                return FUNCTIONS[name](self, (value, *(self.value(argument) for argument in arguments[1:])))
            case Loop():
                return run_loop(self, node, value)
            case Unary(operator="!"):
                return not _bool(value, node.at, "!")
            case Unary(operator="-"):
                return negated(value)
            case Unary():
                return value  # expr-lang emits nothing for +: only `check` looks at the type
            case Among():
                return _among(node, value)
            case Slice(start=start, end=end):
                upper = None if end is None else to_int(self.value(end))
                return sliced(value, 0 if start is None else to_int(self.value(start)), upper, self.budget)
            case _:  # pragma: no cover  the rest has no first part
                raise AssertionError(node)

    def _map(self, node: MapOf) -> dict[str, Any]:
        made: dict[str, Any] = {}
        pairs = [(self.value(key), self.value(value)) for key, value in node.pairs]
        self.budget.keep(len(pairs))
        for key, value in pairs:
            if not isinstance(key, str):
                raise ConditionError(node.at, f"a key of a map is a string, not {words_of(key)}")
            made.setdefault(key, value)  # of two the first, there
        return made

    def _binary(self, node: Binary, left: Any) -> Any:
        operator = node.operator
        match operator:
            # The right side of && and || may be anything: who needs a bool looks.
            case "&&":
                return self.value(node.right) if _bool(left, node.at, "&&") else False
            case "||":
                return True if _bool(left, node.at, "||") else self.value(node.right)
            case "??":
                return self.value(node.right) if is_nil(left) else left
        right = self.value(node.right)
        match operator:
            case "==":
                return self._equal(node, left, right)
            case "!=":
                return not self._equal(node, left, right)
            case "<" | ">" | "<=" | ">=":
                if isinstance(left, str):
                    self.budget.text(len(left))
                return ordered(operator, left, right)
            case "in":
                return contains(right, left, self.budget)
            case "..":
                return self._range(to_int(left), to_int(right))
            case "matches" | "contains" | "startsWith" | "endsWith":
                return self._text(node, left, right)
            case _:
                return arithmetic(operator, left, right, self.budget)

    def _equal(self, node: Binary, left: Any, right: Any) -> bool:
        expected = _SAME.get(node.left.type.kind)
        if expected is not None and node.left.type.kind is node.right.type.kind:
            for value in (left, right):
                if type(value) is not expected:
                    found = f"one of two that should be {node.left.type.words} is {words_of(value)}"
                    raise UnfitError(f"{node.operator}: {found}")
        return equal(left, right, self.budget)

    def _range(self, start: int, end: int) -> range:
        size = wrapped(wrapped(end - start) + 1)
        self.budget.keep(max(0, size))
        return range(start, start + max(0, size))

    def _text(self, node: Binary, left: Any, right: Any) -> bool:
        operator = node.operator
        if is_nil(left) or is_nil(right):
            return False
        if not (isinstance(left, str) and isinstance(right, str)):
            raise UnfitError(f"{operator} does not take {words_of(left)} and {words_of(right)}")
        self.budget.text(len(left))
        if operator == "matches":
            if not isinstance(node.right, Literal) and right not in self._patterns:
                self.budget.spend(NEW_PATTERN)
                self._patterns.add(right)
            return matches(left, right, self.budget)
        text, part = like_bytes(left, right)
        if operator == "contains":
            return part in text  # type: ignore[operator]  # both are of one type
        if operator == "startsWith":
            return text.startswith(part)  # type: ignore[arg-type]
        return text.endswith(part)  # type: ignore[arg-type]


def _among(node: Among, value: Any) -> bool:
    if value is None:  # the zero of the type of the constants, there
        value = 0 if node.numbers else ""
    if type(value) is not (int if node.numbers else str):
        held = "integers" if node.numbers else "strings"
        raise UnfitError(f"in does not take {words_of(value)}: the list holds {held}")
    return value in node.choices


def _bool(value: Any, at: int, operator: str) -> bool:
    if not isinstance(value, bool):
        raise ConditionError(at, f"{operator} takes a bool, not {words_of(value)}")
    return value
