"""JSON that is read in pieces: a document of a megabyte would hold up a process for ten milliseconds.

PURE. What comes out is what `json.loads` makes of the same bytes, and what is refused there is refused here, with a
ValueError or RecursionError. The outer containers are walked here, one element after the other; what lies deeper
is read by Python's own decoder in one call each. So a piece is as long as the longest value at that depth:
an endpoint, in a configuration document.
"""

from __future__ import annotations

import json
import re
from json.decoder import JSONDecodeError
from typing import Any, Final

from coalmine.model.pieces import Pieces

#: Containers that are walked: the document, its arms, an arm, its endpoints.
_WALKED: Final = 4
#: Elements from one yield to the next; an endpoint takes two microseconds.
_ELEMENTS: Final = 16
_SPACE: Final = re.compile(r"[ \t\n\r]+")

_read: Final = json.JSONDecoder().raw_decode


def loads(body: bytes) -> Pieces[Any]:
    """`json.loads`. Raises ValueError and RecursionError."""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    value, end = yield from _value(text, _after_space(text, 0), 0)
    end = _after_space(text, end)
    if end != len(text):
        raise JSONDecodeError("Extra data", text, end)
    return value


def _value(text: str, at: int, depth: int) -> Pieces[tuple[Any, int]]:
    """The value that begins at `at`, and where it ends."""
    if depth < _WALKED:
        if text.startswith("{", at):
            return (yield from _object(text, at, depth + 1))
        if text.startswith("[", at):
            return (yield from _array(text, at, depth + 1))
    return _read(text, at)


def _array(text: str, at: int, depth: int) -> Pieces[tuple[list[Any], int]]:
    found: list[Any] = []
    at = _after_space(text, at + 1)
    if text.startswith("]", at):
        return found, at + 1
    leaves = depth == _WALKED
    while True:
        value, at = _read(text, at) if leaves else (yield from _value(text, at, depth))
        found.append(value)
        if len(found) % _ELEMENTS == 0:
            yield
        at, more = _next(text, at, "]")
        if not more:
            return found, at


def _object(text: str, at: int, depth: int) -> Pieces[tuple[dict[str, Any], int]]:
    found: dict[str, Any] = {}
    at = _after_space(text, at + 1)
    if text.startswith("}", at):
        return found, at + 1
    count = 0
    while True:
        if not text.startswith('"', at):
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, at = _read(text, at)
        at = _after_space(text, at)
        if not text.startswith(":", at):
            raise JSONDecodeError("Expecting ':' delimiter", text, at)
        found[key], at = yield from _value(text, _after_space(text, at + 1), depth)
        count += 1
        if count % _ELEMENTS == 0:
            yield
        at, more = _next(text, at, "}")
        if not more:
            return found, at


def _next(text: str, at: int, close: str) -> tuple[int, bool]:
    """Behind an element: where the next one begins; or where the container ends, and False."""
    at = _after_space(text, at)
    if text.startswith(",", at):
        return _after_space(text, at + 1), True
    if text.startswith(close, at):
        return at + 1, False
    raise JSONDecodeError("Expecting ',' delimiter", text, at)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()
