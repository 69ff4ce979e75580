"""JSONPath in Argo's (kubectl's) spelling, ``{$.a.b}``, made ready for jsonpath-ng.

Rules: one path in one pair of braces. What jsonpath-ng adds to the language is refused:
its regular expressions and substitutions run in Python's backtracking engine, where a template
could stall the controller.
"""

from __future__ import annotations

from typing import Any, Final

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from coalmine.model.errors import SpecError

#: A path is a line; its parser's work grows with it.
MAX_LENGTH: Final = 1024
_FOREIGN: Final = ("`", "=~")


def read_path(text: str, where: str) -> Any:
    """jsonpath-ng's path for `text`. Raises SpecError at the field `where`."""
    advice = 'write one path in braces, for example "{$.status}"'
    if len(text) > MAX_LENGTH:
        raise SpecError(where, f"{len(text)} characters are too many", f"write at most {MAX_LENGTH}")
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise SpecError(where, f"{text!r} is not in braces", advice)
    inner = inner[1:-1].strip()
    if "{" in inner or "}" in inner:
        raise SpecError(where, f"{text!r} has several paths", advice)
    for foreign in _FOREIGN:
        if foreign in inner:
            raise SpecError(where, f"{foreign} is not part of JSONPath in Kubernetes", advice)
    if inner.startswith((".", "[")):
        inner = f"${inner}"  # kubectl's relaxed spelling
    if not inner.startswith("$"):
        raise SpecError(where, f"{text!r} does not start at $", advice)
    try:
        return parse(inner)
    except (JSONPathError, ValueError, RecursionError) as error:
        raise SpecError(where, f"{text!r} is not a JSONPath: {error or 'nested too deeply'}", advice) from error
