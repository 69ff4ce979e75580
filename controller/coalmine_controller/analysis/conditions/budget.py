"""What one evaluation may cost: elements as in expr-lang, and steps, so that every condition ends.

A condition is evaluated between two heartbeats of the controller, on the same core: what its
author wrote in error (``all(1..9999, {all(1..9999, {true})})``) must not hold up other releases.
"""

from __future__ import annotations

from typing import Final

#: expr-lang's memory budget (conf.DefaultMemoryBudget): lists, maps and ranges made, repeated text in bytes.
MAX_ELEMENTS: Final = 1_000_000
#: Twice the longest answer of a provider: without a bound a short condition could build gigabytes.
MAX_STRING: Final = 2 * 1024 * 1024
#: A step is a node evaluated, an element visited, or CHARACTERS characters handled: about a microsecond of
#: one core, so that a condition ends within a second or two (for patterns see there). A list of 50,000
#: elements with a predicate of fifteen parts fits; expr-lang has no such bound.
MAX_STEPS: Final = 1_000_000
CHARACTERS: Final = 32


class Budget:
    """What is left. Everything here raises ValueError with a sentence when it is used up."""

    __slots__ = ("elements", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.elements = MAX_ELEMENTS

    def spend(self, steps: int) -> None:
        """Count `steps`."""
        self.steps -= steps
        if self.steps < 0:
            raise ValueError(f"it takes more than {MAX_STEPS} steps: go through fewer elements, or through them once")

    def keep(self, elements: int) -> None:
        """Count `elements` of a list or map that was made."""
        self.elements -= elements
        if self.elements <= 0:
            raise ValueError(f"it makes lists of {MAX_ELEMENTS} elements and more altogether: go through fewer")

    def text(self, characters: int) -> None:
        """Count a text of so many characters that is about to be made or gone through."""
        if characters > MAX_STRING:
            raise ValueError(f"the string grows beyond {MAX_STRING} characters")
        self.spend(1 + characters // CHARACTERS)
