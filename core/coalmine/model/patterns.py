"""Regular expressions that a user writes: RE2's, as in Istio and Envoy.

Python's own engine backtracks: an expression such as ``(a*)*b`` and a client that sends many a's would
stop a sidecar for minutes. RE2 takes time in proportion to the value, whatever the expression. It is
loaded when the first expression comes (it costs 2.7 MB, of which 2.4 are shared file pages), so
that a sidecar without one does not pay.
"""

from __future__ import annotations

from typing import Any, Final

from coalmine.model.errors import SpecError, shown

#: Header values that are worth a rule are short; so are the expressions that tell them apart.
MAX_PATTERN: Final = 256
#: Bytes of a compiled expression and of its automaton. Beyond it RE2 refuses to compile, or
#: matches without the automaton, more slowly but as surely.
_MEMORY: Final = 256 * 1024
#: Instructions of a compiled expression, at admission. Beyond the memory for its automaton RE2 tries each of them at
#: each byte: `.*a.{1,900}x` has 2,700, and takes 980 ms for a value of 31 KB, in which a sidecar does nothing else.
#: With 500, and the values that a sidecar compares (4 KiB), it is about 20 ms. What tells groups apart has 10 to 100.
MAX_PROGRAM: Final = 500


def compiled(pattern: str) -> Any:
    """An object whose ``fullmatch(bytes)`` is None when the whole value does not match.

    Raises ValueError with RE2's own words.
    """
    import re2

    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it is longer than {MAX_PATTERN} characters")
    if not pattern.isascii():
        raise ValueError("it has characters outside ASCII")
    options = re2.Options()
    # Bytes are compared, whatever they mean, and the log of a sidecar is not RE2's to write to.
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = _MEMORY
    # Groups are not asked for, and expressions without them compile to less.
    options.never_capture = True
    try:
        return re2.compile(pattern.encode(), options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown"
        raise ValueError(reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)) from error


def check_pattern(pattern: str, path: str) -> None:
    """Raises SpecError when a sidecar would refuse it, or would be held up by it."""
    try:
        program = compiled(pattern).programsize
    except ValueError as error:
        advice = "write RE2's syntax, without look-around and back references, for example v2-.*"
        raise SpecError(path, f"{shown(pattern)} is not a regular expression: {error}", advice) from error
    if program > MAX_PROGRAM:
        problem = f"{shown(pattern)} is too much work: {program} instructions, and at most {MAX_PROGRAM} are allowed"
        raise SpecError(path, problem, "write shorter repetitions, for example .* rather than .{0,200}")
