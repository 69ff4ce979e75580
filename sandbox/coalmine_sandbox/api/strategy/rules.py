"""The rules of a kind, as apiserver's rest.RESTCreateStrategy and its like; a plain kind has just these. Pure.

`prepare_*` change the new object, which is the caller's own; `validate*` look at it. An object's top-level fields may
be replaced, what is below them is shared with other versions and must be copied before it is written to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import metadata, names


class Strategy:
    """A kind without status, generation or anything of its own."""

    #: Metadata that a write to the status cannot change.
    status_keeps: tuple[str, ...] = ()
    #: A PUT may create it.
    creates_on_update: bool = False
    #: It may be written without naming the version that the writer saw.
    unconditional: bool = True
    #: A deletion is answered with the object rather than with a Status.
    shows_deleted: bool = False
    #: What becomes of dependents when nobody says: Background or Orphan; "" where there are none.
    propagation: str = "Background"
    #: Its own rules look only at what its schema found nothing wrong with.
    needs_schema: bool = False
    name_faults: Callable[[str], list[str]] = staticmethod(names.dns_subdomain)

    # --- creating ------------------------------------------------------------------------------

    def prepare_create(self, obj: Object) -> None:
        """Take away what a creator may not set."""

    def validate(self, obj: Object) -> list[Cause]:
        """Faults beyond those of the schema and of the metadata."""
        return []

    # --- updating ------------------------------------------------------------------------------

    def prepare_update(self, new: Object, old: Object) -> None:
        """Take back what a write to the object itself may not change; raise the generation where it is due."""

    def prepare_status(self, new: Object, old: Object) -> None:
        """Take back everything that a write to the status may not change."""
        for field in [*new, *(key for key in old if key not in new)]:
            if field not in ("status", "metadata"):
                put(new, field, old.get(field))
        kept = {field: old["metadata"].get(field) for field in self.status_keeps}
        change_metadata(new, kept)

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        """Faults of a change, besides those of the new object alone."""
        return []

    def validate_status(self, new: Object, old: Object) -> list[Cause]:
        return []

    # --- deleting ------------------------------------------------------------------------------

    def grace(self, obj: Object, asked: int | None) -> int | None:
        """Seconds until a deletion is carried out; None: at once, and nobody is told before."""
        return None

    def may_vanish(self, new: Object) -> bool:
        """Nothing but the metadata's finalizers keeps an object that is being deleted."""
        return True


class Generational(Strategy):
    """A kind with a status, whose generation counts the changes of its spec."""

    #: Fields whose change raises the generation.
    counted: tuple[str, ...] = ("spec",)
    has_status: bool = True

    def prepare_create(self, obj: Object) -> None:
        if self.has_status:
            obj.pop("status", None)
        change_metadata(obj, {"generation": 1})

    def prepare_update(self, new: Object, old: Object) -> None:
        if self.has_status:
            put(new, "status", old.get("status"))
        if self.changed(new, old):
            change_metadata(new, {"generation": old["metadata"].get("generation", 0) + 1})

    def changed(self, new: Object, old: Object) -> bool:
        return any(new.get(field) != old.get(field) for field in self.counted)


class Stateful(Strategy):
    """A kind with a status and no generation."""

    def prepare_create(self, obj: Object) -> None:
        obj.pop("status", None)

    def prepare_update(self, new: Object, old: Object) -> None:
        put(new, "status", old.get("status"))


def put(obj: Object, field: str, value: Any) -> None:
    """Set a top-level field, or remove it where the value is None."""
    if value is None:
        obj.pop(field, None)
    else:
        obj[field] = value


def change_metadata(obj: Object, changes: Mapping[str, Any]) -> None:
    """Give the object metadata of its own with these fields; None removes one."""
    if changes:
        merged = {**obj["metadata"], **changes}
        obj["metadata"] = {key: value for key, value in merged.items() if value is not None}


PATH_NAMED: Final = staticmethod(names.path_segment)


def all_faults(strategy: Strategy, obj: Object, schema: list[Cause]) -> list[Cause]:
    """The metadata's faults, the kind's own, and those that its schema found."""
    own = [] if schema and strategy.needs_schema else strategy.validate(obj)
    return [*metadata.validate(obj, strategy.name_faults), *own, *schema]
