"""The interface between runs and providers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from coalmine.model.errors import RemoteError


class MeasurementError(RemoteError):
    """There is no result: the measurement counts as an Error. The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A result (JSON, numbers as floats) and the text of it that the run keeps."""

    value: str
    result: Any


@dataclass(frozen=True, slots=True)
class Context:
    """What a measurement needs from outside: the run's namespace, a way to the network, and where the
    controller's own Prometheus is ("": nobody said)."""

    namespace: str
    open_session: Callable[[], aiohttp.ClientSession]
    prometheus: str = ""


class Provider(Protocol):
    """A source of results."""

    async def measure(self, context: Context) -> Measured:
        """One measurement. Raises MeasurementError."""
        ...
