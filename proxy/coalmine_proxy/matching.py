"""Whether a request fulfils the conditions of a route.

PURE. Conditions are made ready once, when a configuration comes. Values are compared as bytes; a
field that the request does not have fulfils nothing, several of one name are one, joined by commas
(Envoy does both). Regular expressions must match the whole value and take linear time; a value over 4 KiB
matches none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from coalmine.model import wire

if TYPE_CHECKING:
    from coalmine_proxy.request import Request

#: Bytes. Linear in a value of the largest head is still up to a second in which nothing else is done; values that
#: rules are written for are short.
_LONGEST: Final = 4096


class Condition:
    """One `wire.Match`, made ready."""

    __slots__ = ("_pattern", "_prefix", "_value")

    def __init__(self, match: wire.Match) -> None:
        self._value = match.value.encode()
        self._prefix = match.how == wire.PREFIX
        self._pattern: Any = match.pattern

    def holds(self, value: bytes | None) -> bool:
        """Does `value` fulfil it?"""
        if value is None:
            return False
        if self._pattern is not None:
            return len(value) <= _LONGEST and self._pattern.fullmatch(value) is not None
        if self._prefix:
            return value.startswith(self._value)
        return value == self._value


class Conditions:
    """All the conditions of one route; every one has to hold. Without any, every request does."""

    __slots__ = ("_headers", "_method", "_path")

    def __init__(
        self,
        headers: Sequence[tuple[str, wire.Match]],
        method: wire.Match | None = None,
        path: wire.Match | None = None,
    ) -> None:
        self._headers: list[tuple[bytes, Condition]] = [
            (name.encode().lower(), Condition(match)) for name, match in headers
        ]
        self._method: Condition | None = None if method is None else Condition(method)
        self._path: Condition | None = None if path is None else Condition(path)

    def hold(self, request: Request) -> bool:
        """Does the request fulfil all of them?"""
        if self._method is not None and not self._method.holds(request.method):
            return False
        if self._path is not None and not self._path.holds(request.path):
            return False
        for name, condition in self._headers:  # noqa: SIM110  a generator costs more than the loop
            if not condition.holds(request.field(name)):
                return False
        return True
