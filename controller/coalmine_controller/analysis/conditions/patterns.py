"""Regular expressions of ``matches``: RE2, which Go's own are, in time linear in pattern and text.

Rules: a pattern that is written down is compiled when the condition is read, any other when it is
met. Patterns match anywhere; there is no look-around and no back reference.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import re2

from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.lexer import shortened
from coalmine_controller.analysis.conditions.syntax import ConditionError
from coalmine_controller.analysis.conditions.values import valid

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
#: What google-re2 allows a compiled pattern and its states by default, in bytes; stated, for it bounds the memory.
_OPTIONS.max_mem = 8 << 20


#: Steps that a pattern costs which is only known when it is met: the largest take tens of milliseconds to compile.
NEW_PATTERN: Final = 20_000
#: Characters times instructions of the compiled pattern that are one step. RE2 needs a fraction of it; when
#: its tables outgrow their bound it needs ten times as much, and a condition that is made for it ten seconds.
_WORK: Final = 1000


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{shortened(pattern)!r} is not a regular expression (RE2): {shortened(reason)}") from error


def check_pattern(pattern: str, at: int) -> None:
    """Raises ConditionError unless `pattern` is a regular expression."""
    try:
        _compiled(pattern)
    except ValueError as error:
        raise ConditionError(at, str(error)) from error


def matches(text: str, pattern: str, budget: Budget) -> bool:
    """Whether `pattern` matches anywhere in `text`. ValueError when it is no regular expression."""
    if valid(pattern) != pattern:
        raise ValueError("the pattern holds bytes that are no character")
    compiled = _compiled(pattern)
    budget.spend(len(text) * compiled.programsize // _WORK)
    return compiled.search(valid(text)) is not None
