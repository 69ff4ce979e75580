"""A column of a Table, and what a kind's table is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object
from coalmine_sandbox.api.times import age, seconds_of

NONE: Final = "<none>"


class Column(NamedTuple):
    name: str
    type: str = "string"
    format: str = ""
    #: Above 0: shown with ``-o wide`` only.
    priority: int = 0
    description: str = ""

    def to_json(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME: Final = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE: Final = Column("Age", description="CreationTimestamp is the server time when this object was created.")

#: An object's cells at a time (Unix).
Cells = Callable[[Object, float], list[Any]]


class Layout(NamedTuple):
    """How a kind is shown."""

    columns: tuple[Column, ...]
    cells: Cells


def wide(name: str, kind: str = "string", description: str = "") -> Column:
    return Column(name, kind, "", 1, description)


def aged(text: str | None, now: float) -> str:
    """How long ago a time was."""
    then = seconds_of(text)
    return "<unknown>" if then is None else age(now - then)


def age_of(obj: Object, now: float) -> str:
    return aged(obj["metadata"].get("creationTimestamp"), now)


def joined(values: dict[str, str] | None) -> str:
    """Labels as text."""
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or NONE


def first(values: list[str], most: int = 3) -> str:
    """A list that may be long."""
    if not values:
        return "<unset>"
    more = f" + {len(values) - most} more..." if len(values) > most else ""
    return ",".join(values[:most]) + more
