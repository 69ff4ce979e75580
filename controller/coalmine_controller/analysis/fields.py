"""Reading the fields of a mapping that a person wrote, each fault with its path.

Rules: a field is read once, into a value that cannot be invalid; unknown fields are refused
with what was probably meant, unsupported ones by name. In a template that has not got its
arguments yet a field may hold ``{{args.x}}`` where a number or a duration belongs: with
`open_placeholders` such a field is passed over, and checked when the run is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from coalmine.model.durations import parse_go_duration
from coalmine.model.errors import SpecError
from coalmine_controller.analysis.conditions import Condition, ConditionError

_INT32: Final = 2**31 - 1


class Fields:
    """The fields of one mapping at `path`."""

    def __init__(self, raw: Any, path: str, advice: str, *, open_placeholders: bool = False) -> None:
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
            problem = "there is nothing" if raw is None else f"{shown(raw)} is not a mapping"
            raise SpecError(path, problem, advice)
        self._raw: Mapping[str, Any] = raw
        self.path = path
        self._open = open_placeholders

    def at(self, field: str) -> str:
        """The path of `field`."""
        return f"{self.path}.{field}" if self.path else field

    def known(self, known: Iterable[str], unsupported: Iterable[str] = ()) -> None:
        """Refuse every other field; of the `unsupported` ones say that they are."""
        names = tuple(known)
        refused = tuple(unsupported)
        for key in self._raw:
            if key in refused:
                raise SpecError(self.at(key), "is not supported by this version", "remove it")
            if key not in names:
                close = difflib.get_close_matches(key, names + refused, n=1)
                advice = f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
                raise SpecError(self.at(key), "is unknown", advice)

    def raw(self, field: str) -> Any:
        """The field as it was written; None when it is not there."""
        return self._raw.get(field)

    def present(self) -> tuple[str, ...]:
        """The fields that are there and not null."""
        return tuple(key for key, value in self._raw.items() if value is not None)

    def text(self, field: str, default: str | None = None) -> str:
        """A string; without `default` one that has to be there and not be empty."""
        value = self._raw.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            problem = "is missing" if value is None else f"{shown(value)} is not a string"
            raise SpecError(self.at(field), problem, "write a string")
        if not value and default is None:
            raise SpecError(self.at(field), "is empty", "write a string")
        return value

    def boolean(self, field: str) -> bool:
        """true or false; false when it is not there."""
        value = self._raw.get(field)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise SpecError(self.at(field), f"{shown(value)} is neither true nor false", "write true or false")
        return value

    def whole(self, field: str, default: int, least: int = 0, most: int = _INT32) -> int:
        """A whole number, also written as a string (Kubernetes' IntOrString)."""
        value = self._raw.get(field)
        if value is None or self.is_open(field):
            return default
        if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 11:
            value = int(value)
        if isinstance(value, float) and value.is_integer():  # some YAML writers make 3.0 of 3
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            advice = f"write a number from {least} to {most}" if most < _INT32 else f"write a number from {least} on"
            raise SpecError(self.at(field), f"{shown(value)} is not a whole number in range", advice)
        return value

    def duration(self, field: str) -> float | None:
        """Seconds of a Go duration; None when it is not there or empty."""
        value = self._raw.get(field)
        if value is None or value == "" or self.is_open(field):
            return None
        return parse_go_duration(value, self.at(field))

    def condition(self, field: str) -> Condition | None:
        """A condition that parses; None when it is not there or empty."""
        text = self.text(field, "")
        if not text or self.is_open(field):
            return None
        try:
            return Condition.parse(text)
        except ConditionError as error:
            raise SpecError(self.at(field), error.locate(text), 'write for example result == "ok"') from error

    def sequence(self, field: str) -> list[Any]:
        """A list; empty when it is not there."""
        value = self._raw.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            raise SpecError(self.at(field), f"{shown(value)} is not a list", "write a list")
        return value

    def is_open(self, field: str) -> bool:
        """Whether the field waits for an argument."""
        value = self._raw.get(field)
        return self._open and isinstance(value, str) and "{{" in value


def shown(raw: Any) -> str:
    """A value as an error shows it, cut short."""
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."
