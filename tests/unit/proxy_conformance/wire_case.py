"""The words in which a conformance case is written, and nothing that runs one.

A request case is what a client sends, and what becomes of each message in it, in order: `Seen` (the
application reads exactly this one request), or a number (refused with that status, and the connection is
closed). An answer case is what an application writes, and what the client reads: `Got`, or 502, or `ABORTED`, or
`BROKEN`.

`source` names where the fact comes from: a corpus and its place there (gunicorn's tests/requests, guardian:
aws/http-desync-guardian's tests, llhttp's test/*.md, h1spec's http_test.ts, haproxy's reg-tests/http-messaging), or
the section of the RFC.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: The client's connection is reset after a part of the answer: it must not be taken for the whole.
ABORTED = "aborted"
#: The answer turns out not to be HTTP after its head: 502 if nothing of it has gone out, `ABORTED` if something has.
BROKEN = "broken"
KEEP, CLOSE, RESET = "keep", "close", "reset"


@dataclass(frozen=True)
class Seen:
    """A request that the application reads. Of `fields` only those named are looked at; None: it is not there."""

    method: str = "GET"
    target: str = "/"
    body: bytes = b""
    fields: dict[str, str | None] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    #: The client's connection is closed after the answer.
    close: bool = False


@dataclass(frozen=True)
class RequestCase:
    name: str
    source: str
    sent: bytes
    expect: tuple[Seen | int, ...]
    #: Why the proxy does otherwise today; empty when it does not. `wrongly` names the tests that show it.
    wrong: str = ""
    wrongly: tuple[str, ...] = ()


@dataclass(frozen=True)
class Got:
    """An answer that the client reads, whole. `interim` are the statuses of the 1xx before it."""

    status: int = 200
    body: bytes = b""
    fields: dict[str, str | None] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    interim: tuple[int, ...] = ()
    #: The client's connection is closed after it.
    close: bool = False
    #: Bytes that the client gets after a 101.
    tunnel: bytes = b""


@dataclass(frozen=True)
class AnswerCase:
    name: str
    source: str
    written: bytes
    expect: Got | int | str
    #: What the application does after writing.
    then: str = KEEP
    #: What the client asked.
    asked: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    #: The connection to the application carries the next request.
    reused: bool | None = None
    wrong: str = ""
    wrongly: tuple[str, ...] = ()


def head(first: str, *lines: str) -> bytes:
    """A head. Characters are bytes, as in ISO 8859-1."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def get(*lines: str, target: str = "/", host: str | None = "a") -> bytes:
    return head(f"GET {target} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *lines)


def post(*lines: str, body: bytes = b"") -> bytes:
    return head("POST / HTTP/1.1", "Host: a", *lines) + body


def chunked(body: bytes) -> bytes:
    """A POST with this body, chunks and all."""
    return post("Transfer-Encoding: chunked", body=body)


def answer(*lines: str, first: str = "HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return head(first, *lines) + body


def requests_of(
    source: str,
    *rows: tuple[str, bytes, Seen | int | tuple[Seen | int, ...]],
    wrong: str = "",
    wrongly: tuple[str, ...] = (),
) -> list[RequestCase]:
    """Rows that share a source: name, bytes, expectation."""
    return [
        RequestCase(name, source, sent, expect if isinstance(expect, tuple) else (expect,), wrong, wrongly)
        for name, sent, expect in rows
    ]
