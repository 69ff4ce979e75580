"""How two other parsers read the same bytes, h11 and llhttp (as httptools has it), compared with our own reading.

Where the three differ, somebody behind the proxy could be led to read another message than the proxy meant:
`Disagreement` says where.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import h11
import httptools
from wire_reading import Disagreement, Fields, Message, Stream, answers, requests

_BIG: Final = 1 << 24

# --- h11 ---


def _pairs(headers: Any) -> Fields:
    return tuple((bytes(name).lower(), bytes(value)) for name, value in headers)


def requests_by_h11(data: bytes) -> list[Message]:
    """The whole requests in `data`, as h11's server reads them."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_BIG)
    if data:  # to h11, no bytes are the end
        connection.receive_data(data)
    found: list[Message] = []
    head: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise Disagreement(f"h11 refuses: {error}") from error
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            end = len(data) - len(connection.trailing_data[0])
            start = (bytes(head.method), bytes(head.target))
            found.append(Message(start, _pairs(head.headers), body, _pairs(event.headers), end))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        else:
            return found


def answers_by_h11(data: bytes, methods: Sequence[bytes], ended: bool) -> list[Message]:
    """The whole answers in `data`, as h11's client reads them."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_BIG)
    found: list[Message] = []
    given = False
    for method in methods:
        connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        connection.send(h11.EndOfMessage())
        if not given:
            given = True
            if data:
                connection.receive_data(data)
            if ended:
                connection.receive_data(b"")
        interim: list[tuple[int, Fields]] = []
        head: h11.Response | None = None
        body = b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                if ended and "without sending complete" in str(error):
                    return found
                raise Disagreement(f"h11 refuses: {error}") from error
            if isinstance(event, h11.InformationalResponse):
                interim.append((event.status_code, _pairs(event.headers)))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                end = len(data) - len(connection.trailing_data[0])
                start = (b"%d" % head.status_code,)
                found.append(
                    Message(start, _pairs(head.headers), body, _pairs(event.headers), end, interim=tuple(interim))
                )
                break
            else:
                return found
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return found
        connection.start_next_cycle()
    return found


# --- llhttp ---

_METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH PURGE REPORT SEARCH LINK UNLINK SOURCE PROPFIND QUERY".split()
)


class _Heard:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self._in_body = False
        self.complete = False

    def on_message_begin(self) -> None:
        self.__init__()  # type: ignore[misc]

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self._in_body else self.fields).append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def requests_by_llhttp(data: bytes, ours: Sequence[Message] = ()) -> list[Message]:
    """The whole requests in `data`, as llhttp reads them; a byte at a time, to see where each ends.

    llhttp knows a list of methods and refuses all others: in `ours` those are read as GET.
    """
    whole, data, at = data, b"", 0
    for message in ours:
        method = message.start[0]
        data += (method if method in _METHODS else b"GET") + whole[at + len(method) : message.end]
        at = message.end
    method, space, _ = whole[at:].partition(b" ")
    data += b"GET" + whole[at + len(method) :] if space and method not in _METHODS else whole[at:]
    found = _by_llhttp(data)
    longer = 0
    for number, (mine, other) in enumerate(zip(ours, found, strict=False)):
        method = mine.start[0]
        if method not in _METHODS:
            longer += len(method) - 3
            other = replace(other, start=(method, *other.start[1:]))
        found[number] = replace(other, end=other.end + longer)
    return found


def _by_llhttp(data: bytes) -> list[Message]:
    found: list[Message] = []
    heard = _Heard()
    parser = httptools.HttpRequestParser(heard)
    for at in range(len(data)):
        upgrade = False
        try:
            parser.feed_data(data[at : at + 1])
        except httptools.HttpParserUpgrade:
            upgrade = True
        except httptools.HttpParserError as error:
            raise Disagreement(f"llhttp refuses at {at}: {error}") from error
        if heard.complete:
            heard.complete = False
            start = (parser.get_method(), heard.url)
            found.append(Message(start, tuple(heard.fields), heard.body, tuple(heard.trailers), at + 1))
        if upgrade:
            heard = _Heard()
            parser = httptools.HttpRequestParser(heard)
    return found


def answers_by_llhttp(data: bytes) -> list[Message]:
    """The whole answers in `data`; llhttp here knows nothing of the requests, so none of them may be HEAD."""
    found: list[Message] = []
    heard = _Heard()
    parser = httptools.HttpResponseParser(heard)
    for at in range(len(data)):
        try:
            parser.feed_data(data[at : at + 1])
        except httptools.HttpParserError as error:
            raise Disagreement(f"llhttp refuses at {at}: {error}") from error
        if heard.complete:
            heard.complete = False
            start = (b"%d" % parser.get_status_code(),)
            found.append(Message(start, tuple(heard.fields), heard.body, tuple(heard.trailers), at + 1))
    return found


# --- all three ---
# What a case comes to is nearly always the same, wherever it is split: so it is read once and remembered.


@functools.lru_cache(maxsize=4096)
def requests_by_all(data: bytes, tunnelled: bool = False) -> Stream:
    """Read what an application gets, by all three. `tunnelled`: bytes of a tunnel may follow the first request."""
    ours = requests(data) if not tunnelled else _first(data)
    whole = data[: ours.messages[-1].end] if tunnelled and ours.messages else data
    _compare("h11", ours.messages, requests_by_h11(whole))
    _compare("llhttp", ours.messages, requests_by_llhttp(whole, ours.messages))
    return ours


def _first(data: bytes) -> Stream:
    end = data.find(b"\r\n\r\n")
    found = requests(data[: end + 4] if end >= 0 else data)
    found.rest = data[end + 4 :] if end >= 0 else data
    return found


@functools.lru_cache(maxsize=4096)
def answers_by_all(data: bytes, methods: tuple[bytes, ...], ended: bool) -> Stream:
    """Read what a client gets, by all three."""
    ours = answers(data, methods, ended)
    if any(message.framing == "upgraded" for message in ours.messages):
        return ours
    _compare("h11", ours.messages, answers_by_h11(data, methods, ended))
    if b"HEAD" not in methods and all(message.framing in ("length", "chunked") for message in ours.messages):
        whole = data[: ours.messages[-1].end] if ours.messages else b""
        final = [message for message in answers_by_llhttp(whole) if message.status >= 200]
        _compare("llhttp", ours.messages, final)
    return ours


def _compare(name: str, ours: list[Message], theirs: list[Message]) -> None:
    if len(ours) != len(theirs):
        raise Disagreement(f"we read {len(ours)} messages, {name} reads {len(theirs)}")
    for mine, other in zip(ours, theirs, strict=True):
        for what in ("start", "fields", "body", "trailers", "end"):
            if getattr(mine, what) != getattr(other, what):
                raise Disagreement(f"{what}: we read {getattr(mine, what)!r}, {name} reads {getattr(other, what)!r}")
