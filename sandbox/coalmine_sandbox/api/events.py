"""events.k8s.io/v1's Events and those of the core group are the same objects under other field names. Pure."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import Object

#: The field in events.k8s.io/v1, and where it is stored.
_NAMES: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_STORED: Final = {stored: shown for shown, stored in _NAMES.items()}


def shown(stored: Object) -> Object:
    """A stored Event as events.k8s.io/v1 shows it."""
    renamed = {_STORED.get(field, field): value for field, value in stored.items()}
    return {**renamed, "apiVersion": "events.k8s.io/v1"}


def stored(sent: Object) -> Object:
    """An Event of events.k8s.io/v1 as it is stored."""
    renamed = {_NAMES.get(field, field): value for field, value in sent.items()}
    return {**renamed, "apiVersion": "v1"}


def stored_field(path: str) -> str:
    """A field selector's path as it is stored."""
    first, dot, rest = path.partition(".")
    return f"{_NAMES.get(first, first)}{dot}{rest}"
