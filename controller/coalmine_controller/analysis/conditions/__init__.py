"""Success and failure conditions: expr-lang, as Argo Rollouts has it.

``Condition.parse`` once, ``holds`` for each result, ``assess`` for the phase of a measurement.
A condition goes through `lexer`, `parser`, `check`, `rewrite` and `evaluate`, in this order; what
surprises in the language is in docs/conditions.md.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

from coalmine_controller.analysis.conditions.check import check_condition
from coalmine_controller.analysis.conditions.evaluate import evaluate
from coalmine_controller.analysis.conditions.kinds import UNKNOWN, Type, type_of
from coalmine_controller.analysis.conditions.parser import parse
from coalmine_controller.analysis.conditions.rewrite import rewrite
from coalmine_controller.analysis.conditions.syntax import ConditionError, Node
from coalmine_controller.analysis.conditions.values import words_of
from coalmine_controller.analysis.phases import Phase

__all__ = ["Assessment", "Condition", "ConditionError", "assess"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has been read, and makes sense for some result."""

    text: str
    tree: Node

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read `text`. Raises ConditionError."""
        tree = parse(text)
        rewrite(check_condition(tree, UNKNOWN))
        return cls(text, tree)

    def holds(self, result: Any) -> bool:
        """Whether the condition is true of `result` (JSON, numbers as floats). Raises ConditionError."""
        value = evaluate(_prepared(self.text, type_of(result)), result)
        if not isinstance(value, bool):
            raise ConditionError(self.tree.at, f"a condition must be true or false, this is {words_of(value)}")
        return value


@functools.lru_cache(maxsize=1024)
def _prepared(text: str, result: Type) -> Node:
    """The condition, checked for results of this type: metrics are measured again and again."""
    return rewrite(check_condition(parse(text), result))


class Assessment(NamedTuple):
    """The phase of a measurement, and the reason when it is an Error."""

    phase: Phase
    message: str = ""


def assess(success: Condition | None, failure: Condition | None, result: Any) -> Assessment:
    """What the conditions say of `result`.

    Success only: false is Failed. Failure only: false is Successful. Both: failure wins, neither
    true is Inconclusive. None given: Successful. Both are evaluated, and an error in either is an Error.
    """
    answers: list[bool | None] = []
    for field, condition in (("successCondition", success), ("failureCondition", failure)):
        try:
            answers.append(None if condition is None else condition.holds(result))
        except ConditionError as error:
            text = condition.text if condition is not None else ""
            return Assessment(Phase.ERROR, f"{field}: {error.locate(text)}")
    match answers:
        case [None, None]:
            return Assessment(Phase.SUCCESSFUL)
        case [_, True] | [False, None]:
            return Assessment(Phase.FAILED)
        case [False, False]:
            return Assessment(Phase.INCONCLUSIVE)
        case _:
            return Assessment(Phase.SUCCESSFUL)
