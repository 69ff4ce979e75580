"""A custom kind, as the rest of the server needs to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.schema.node import Node


@dataclass(frozen=True, slots=True)
class Column:
    """One of ``additionalPrinterColumns``."""

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom kind."""

    resource: Resource
    singular: str
    node: Node
    #: Every fault of an object, and, on an update, of the change.
    faults: Callable[[Object, Object | None], list[Cause]]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    #: ``status``, ``scale``.
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    #: Its openAPIV3Schema, as it is published.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: Where the scale subresource finds replicas, their status and the selector: paths such as ``.spec.replicas``.
    scale: tuple[str, str, str] = ("", "", "")
