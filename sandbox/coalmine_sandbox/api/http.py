"""Requests and answers without a transport: what `handler` takes and gives, be it from a socket or in-process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.store import encoded
from coalmine_sandbox.api.user import User

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """`query` holds every value of a parameter; header names are in lower case."""

    method: str
    path: str
    user: User
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: False: who asks is part of this process and may do everything.
    checked: bool = True

    def parameter(self, name: str) -> str:
        """The first value of a query parameter; "" without one."""
        values = self.query.get(name)
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        """A boolean parameter, as Go reads it: present and empty is true."""
        values = self.query.get(name)
        return bool(values) and values[0].lower() not in ("false", "0", "f") if values else False


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = JSON
    #: Sentences for the person at the client.
    warnings: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that comes in pieces; whoever takes it must run `chunks` to its end, or `close` it."""

    chunks: AsyncIterator[bytes]
    content_type: str = JSON
    status: int = 200

    async def close(self) -> None:
        if isinstance(self.chunks, AsyncGenerator):
            await self.chunks.aclose()


def text(status: int, words: str) -> Answer:
    return Answer(status, words.encode(), TEXT)


def refused(error: StatusError, warnings: Sequence[str] = ()) -> Answer:
    """The answer to what was refused."""
    headers = {}
    if isinstance(seconds := error.details.get("retryAfterSeconds"), int):
        headers["Retry-After"] = str(seconds)
    return Answer(error.code, encoded(error.to_json()), warnings=tuple(warnings), headers=headers)
