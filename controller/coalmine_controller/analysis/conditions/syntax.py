"""The syntax tree of a condition: frozen nodes, each with the place where it stands and its type.

A new construct of the language is a node here, a rule in `parser`, a type in `check` and a
value in `evaluate`; nothing else knows the nodes. `parser` leaves every type unknown, `check`
gives a tree with types, `rewrite` one that is shortened as expr-lang shortens it.

`first` says which part of a node is looked at before all else. Chains of operators, members and
pipes lean that way and may be long: whoever walks a tree goes down them in a loop, and recurses
only into the other parts, whose nesting the parser bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coalmine_controller.analysis.conditions.kinds import UNKNOWN, Type


class ConditionError(ValueError):
    """A condition cannot be read, or cannot be evaluated on this result.

    `at` is the offset of the fault in the condition's text, in code points; `problem` the
    sentence. `locate` turns the offset into the words that a person can use.
    """

    def __init__(self, at: int, problem: str) -> None:
        self.at = at
        self.problem = problem
        super().__init__(problem)

    def locate(self, text: str) -> str:
        """The sentence with its column (and line, where there are several), counted from 1."""
        before = text[: self.at]
        column = self.at - (before.rfind("\n") + 1) + 1
        line = f"line {before.count(chr(10)) + 1}, " if "\n" in text.strip() else ""
        return f"{line}column {column}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a string, ``true``, ``false``, ``nil``; once rewritten also a list of such."""

    at: int
    value: Any
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or the name of a function."""

    at: int
    name: str
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Pointer:
    """In a predicate: ``#`` (no name), ``#index``, ``#acc``."""

    at: int
    name: str
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[a, b]``."""

    at: int
    items: tuple[Node, ...]
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class MapOf:
    """``{a: 1, "b": 2, (c): 3}``."""

    at: int
    pairs: tuple[tuple[Node, Node], ...]
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Unary:
    """``!a``, ``-a``, ``+a``; ``not`` is kept as ``!``."""

    at: int
    operator: str
    operand: Node
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Binary:
    """``a operator b``; ``and`` is kept as ``&&``, ``or`` as ``||``, ``^`` as ``**``."""

    at: int
    operator: str
    left: Node
    right: Node
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Member:
    """``a.key`` and ``a[key]``; `optional` when written ``?.``: a nil target ends the chain."""

    at: int
    target: Node
    key: Node
    optional: bool = False
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Chain:
    """What a nil before ``?.`` skips: the names behind it, up to an index, a slice or an operator."""

    at: int
    inner: Node
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Slice:
    """``a[start:end]``, either end left out."""

    at: int
    target: Node
    start: Node | None
    end: Node | None
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise`` and ``if test {then} else {otherwise}``."""

    at: int
    test: Node
    then: Node
    otherwise: Node
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Call:
    """``name(arguments)``, and what is piped into it as the first."""

    at: int
    name: str
    arguments: tuple[Node, ...]
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Loop:
    """``name(collection, predicate, extra)``: a builtin that takes a predicate.

    `predicate` is None where ``count`` and ``sum`` go without. `extra` is the order of ``sortBy``,
    the first value of ``reduce``. `rewrite` sets `then`, what each element that is kept turns
    into, and `strict`, that finding none is an error.
    """

    at: int
    name: str
    collection: Node
    predicate: Node | None
    extra: Node | None = None
    then: Node | None = None
    strict: bool = False
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Let:
    """``let name = value; body``."""

    at: int
    name: str
    value: Node
    body: Node
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Sequence:
    """``a; b``: all are evaluated, the last is the value."""

    at: int
    items: tuple[Node, ...]
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Among:
    """``item in ["a", "b"]`` and ``item in [1, 2]`` of constants, made by `rewrite`.

    `numbers` tells the two apart: here the item has to be of the constants' own type.
    """

    at: int
    item: Node
    choices: frozenset[Any]
    numbers: bool
    type: Type = UNKNOWN


@dataclass(frozen=True, slots=True)
class Total:
    """``sum([a, b, c])``, made by `rewrite`: the items added from the right, strings too."""

    at: int
    items: tuple[Node, ...]
    type: Type = UNKNOWN


Node = (
    Literal
    | Name
    | Pointer
    | ListOf
    | MapOf
    | Unary
    | Binary
    | Member
    | Chain
    | Slice
    | Conditional
    | Call
    | Loop
    | Let
    | Sequence
    | Among
    | Total
)


def first(node: Node) -> Node | None:
    """The part of `node` that is evaluated before all else, None for a leaf (see above)."""
    match node:
        case Binary():
            return node.left
        case Member() | Slice():
            return node.target
        case Unary():
            return node.operand
        case Chain():
            return node.inner
        case Call():
            return node.arguments[0] if node.arguments else None
        case Loop():
            return node.collection
        case Among():
            return node.item
        case _:
            return None
