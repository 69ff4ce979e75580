"""Success and failure conditions: the part of expr-lang that this version reads.

``Condition.parse`` once, ``holds`` for each result, ``assess`` for the phase of a measurement.
The language and what surprises in it is Argo Rollouts': see `parser`, `check`, `evaluate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from coalmine_controller.analysis.conditions.check import check_condition
from coalmine_controller.analysis.conditions.evaluate import evaluate
from coalmine_controller.analysis.conditions.kinds import ANYTHING, Type, kind_of
from coalmine_controller.analysis.conditions.parser import parse
from coalmine_controller.analysis.conditions.syntax import ConditionError, Node
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
        check_condition(tree, ANYTHING)
        return cls(text, tree)

    def holds(self, result: Any) -> bool:
        """Whether the condition is true of `result` (JSON, numbers as floats). Raises ConditionError."""
        check_condition(self.tree, Type(kind_of(result)))
        value = evaluate(self.tree, result)
        if not isinstance(value, bool):
            raise ConditionError(self.tree.at, f"a condition must be true or false, this is {kind_of(value).words}")
        return value


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
