"""matchConditions: CEL expressions that decide whether a webhook is asked (admissionregistration's MatchCondition).

Rules: each condition that says false keeps the request from the webhook, whatever the others say or fail with;
only when none does are failures told. Expressions are compiled once. Pure.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

#: What an expression may speak of. The real one also knows `authorizer`, which nothing here asks for.
_VARIABLES: Final = ("object", "oldObject", "request")
#: A condition is a line or ten; parsing is quick up to here.
_LONGEST: Final = 8192
#: A wrong configuration is refused before it is stored, so few different texts ever come here.
_KEPT: Final = 256


class ConditionError(Exception):
    """Conditions could not be evaluated. The text is kube-apiserver's."""


def fault(expression: str) -> str:
    """What is wrong with an expression: a sentence as kube-apiserver says it, or ""."""
    if len(expression) > _LONGEST:
        return f"must not be longer than {_LONGEST} characters"
    try:
        found = _compiled(expression).return_type()
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        return f"compilation failed: {text}"
    return "" if found == cel.Type.BOOL else f"must evaluate to bool but got {found.name().lower()}"


def match(conditions: Iterable[Mapping[str, str]], variables: Mapping[str, Any]) -> bool:
    """Whether every condition holds for a request. Raises ConditionError."""
    failures = []
    for condition in conditions:
        expression = condition["expression"]
        held, failure = _evaluate(expression, variables)
        if failure:
            failures.append(f"expression '{expression}' resulted in error: {failure}")
        elif not held:
            return False
    if failures:
        raise ConditionError(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
    return True


def _evaluate(expression: str, variables: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        value = _compiled(expression).eval(data=variables)
    except RuntimeError as error:
        return False, _told(str(error))
    if value.type() == cel.Type.BOOL:
        return bool(value.value()), ""
    return False, _told(str(value.value()))


def _told(failure: str) -> str:
    """A failure of the C++ runtime in the words of the one in Go."""
    text = re.sub(r"^[A-Z_]+: ", "", failure)
    text = re.sub(r'^Key not found in map : "(.*)"$', r"no such key: \1", text)
    return text.replace("divide by zero", "division by zero")


@functools.cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(_VARIABLES, cel.Type.DYN), extensions=[ext_strings.ExtStrings()])


@functools.lru_cache(maxsize=_KEPT)
def _compiled(expression: str) -> cel.Expression:
    """Raises RuntimeError."""
    return _environment().compile(expression)
