"""The syntax tree of a condition: frozen nodes, each with the place where it stands.

A new construct of the language is a node here, a rule in `parser`, a type in `check` and a
value in `evaluate`; nothing else knows the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """A number, a string, ``true``, ``false`` or ``nil``."""

    at: int
    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or the name of a function."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[a, b]``."""

    at: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """``!a``, ``-a``, ``+a``; ``not`` is kept as ``!``."""

    at: int
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """``a operator b``; ``and`` is kept as ``&&``, ``or`` as ``||``, ``^`` as ``**``."""

    at: int
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Member:
    """``a.key`` and ``a[key]``."""

    at: int
    target: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise``."""

    at: int
    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Call:
    """``name(arguments)``."""

    at: int
    name: str
    arguments: tuple[Node, ...]


Node = Literal | Name | ListOf | Unary | Binary | Member | Conditional | Call
