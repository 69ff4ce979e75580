"""What is done to strings, as Go's package strings does it.

Rules: strings are bytes to Go, which shows in `index_of`, the offset of a byte. Every function is
given the budget first and counts what it makes before it makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.values import (
    NilStrings,
    Strings,
    UnfitError,
    decoded,
    encoded,
    joined,
    like_bytes,
)

#: unicode.IsSpace.
_SPACES: Final = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def trim(_: Budget, text: str, characters: str = _SPACES) -> str:
    """Without these characters at either end."""
    return text.strip(characters)


def trim_prefix(_: Budget, text: str, prefix: str = " ") -> str:
    """Without one `prefix`."""
    one, other = like_bytes(text, prefix)
    return _text(one.removeprefix(other))  # type: ignore[arg-type]  # both are of one type


def trim_suffix(_: Budget, text: str, suffix: str = " ") -> str:
    """Without one `suffix`."""
    one, other = like_bytes(text, suffix)
    return _text(one.removesuffix(other))  # type: ignore[arg-type]  # both are of one type


def _text(value: str | bytes) -> str:
    return decoded(value) if isinstance(value, bytes) else value


def upper(budget: Budget, text: str) -> str:
    """Every character in upper case that has one of one character: ß stays."""
    if text.isascii():
        return text.upper()
    budget.spend(len(text))
    return "".join(_one(each, each.upper(), each.title()) for each in text)


def lower(budget: Budget, text: str) -> str:
    """Every character in lower case."""
    if text.isascii():
        return text.lower()
    budget.spend(len(text))
    return "".join(each.lower()[0] for each in text)


def _one(character: str, *forms: str) -> str:
    return next((form for form in forms if len(form) == 1), character)


def split(budget: Budget, text: str, separator: str, number: int = -1) -> Strings:
    """The parts between separators, `number` of them at most; the characters where it is empty."""
    if number == 0:
        return NilStrings()
    if not separator:
        return _characters(budget, text, number)
    one, other = like_bytes(text, separator)
    budget.spend(one.count(other))  # type: ignore[arg-type]  # both are of one type
    parts = one.split(other, number - 1 if number > 0 else -1)  # type: ignore[arg-type]
    return Strings(_text(part) for part in parts)


def split_after(budget: Budget, text: str, separator: str, number: int = -1) -> Strings:
    """The parts with the separators that end them."""
    parts = split(budget, text, separator, number)
    if not separator or number == 0:
        return parts
    return Strings(joined(part + separator) if index < len(parts) - 1 else part for index, part in enumerate(parts))


def _characters(budget: Budget, text: str, number: int) -> Strings:
    budget.spend(len(text))
    if number < 0 or number >= len(text):
        return Strings(text)
    return Strings([*text[: number - 1], text[number - 1 :]])


def replace(budget: Budget, text: str, old: str, new: str, number: int = -1) -> str:
    """`text` with `new` for `old`, the first `number` times."""
    one, other = like_bytes(text, old)
    found = one.count(other)  # type: ignore[arg-type]  # both are of one type
    times = found if number < 0 else min(found, number)
    budget.text(len(text) + times * len(new))
    if isinstance(one, bytes):
        return decoded(one.replace(encoded(old), encoded(new), times)) if old else text
    return joined(one.replace(old, new, times))


def repeat(budget: Budget, text: str, number: int) -> str:
    """`text` so many times."""
    if number < 0:
        raise UnfitError(f"repeat cannot repeat {number} times")
    if number > 1_000_000:  # expr-lang's bound, before any other
        raise UnfitError(f"repeat cannot repeat {number} times: it makes too much")
    budget.keep(len(encoded(text)) * number)
    budget.text(len(text) * number)
    return joined(text * number)


def join(parts: Sequence[str], glue: str, budget: Budget) -> str:
    """The parts with `glue` between them."""
    budget.text(sum(map(len, parts)) + len(glue) * max(0, len(parts) - 1))
    budget.spend(len(parts))
    return joined(glue.join(parts))


def index_of(_: Budget, text: str, part: str) -> int:
    """The offset of the first `part` in bytes, -1 when there is none."""
    return encoded(text).find(encoded(part))


def last_index_of(_: Budget, text: str, part: str) -> int:
    """The offset of the last `part` in bytes, -1 when there is none."""
    return encoded(text).rfind(encoded(part))


def has_prefix(_: Budget, text: str, part: str) -> bool:
    """Whether `text` begins so."""
    one, other = like_bytes(text, part)
    return one.startswith(other)  # type: ignore[arg-type]  # both are of one type


def has_suffix(_: Budget, text: str, part: str) -> bool:
    """Whether `text` ends so."""
    one, other = like_bytes(text, part)
    return one.endswith(other)  # type: ignore[arg-type]  # both are of one type
