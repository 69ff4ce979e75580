"""Our own reading of what a proxy writes: requests at the application, answers at the client.

It is written from the grammar of RFC 9112 and takes nothing but what a careful proxy writes: one
framing, no chunk extension, no folded line. `wire_parsers` compares it with how others read the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST: Final = re.compile(rb"(%b) ([!-~]+) HTTP/1\.1" % _TOKEN)
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
_FIELD: Final = re.compile(rb"(%b):[ \t]*([!-~\x80-\xff]?(?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*" % _TOKEN)
_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

Fields = tuple[tuple[bytes, bytes], ...]

#: Answers to these have no body.
BODILESS: Final = frozenset({204, 304})


class Disagreement(AssertionError):
    """Two parsers read the same bytes differently, or one of them refuses them."""


@dataclass(frozen=True)
class Message:
    """A request (`start` is method and target) or an answer (`start` is the status, `interim` the 1xx before it).

    `end` is where the next message begins. Names of fields are in lower case. `framing` is one of ``none``,
    ``length``, ``chunked``, ``close``, ``upgraded``.
    """

    start: tuple[bytes, ...]
    fields: Fields
    body: bytes
    trailers: Fields
    end: int
    framing: str = "none"
    interim: tuple[tuple[int, Fields], ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    @property
    def status(self) -> int:
        return int(self.start[0])


@dataclass
class Stream:
    """All messages of one direction of a connection; `partial` says that the last one has not ended.

    `rest` is what follows the last whole message: an incomplete one, or the bytes of a tunnel.
    `begun` is the incomplete message as far as it could be read.
    """

    messages: list[Message] = field(default_factory=list)
    partial: bool = False
    rest: bytes = b""
    begun: Message | None = None


# --- ours ---


def requests(data: bytes, lenient: bool = False) -> Stream:
    """Read what an application gets. Raises Disagreement for what no careful proxy writes.

    `lenient`: as other proxies write it, in HTTP/1.0 too, and with a coding in any capitals.
    """
    found = Stream()
    at = 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            _lines(data[at:], whole=False)
            found.partial = True
            break
        first, fields = _lines(data[at:end], whole=True)
        match = _REQUEST.fullmatch(first.replace(b"HTTP/1.0", b"HTTP/1.1") if lenient else first)
        if match is None:
            raise Disagreement(f"not a request line: {first!r}")
        start = (match[1], match[2])
        if lenient:
            fields = tuple((name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields)
        framing, length = _framing(fields)
        if framing == "close":
            framing = "none"
        message, done = _body(data, end + 4, start, fields, framing, length)
        if not done:
            found.partial = True
            found.begun = message
            break
        found.messages.append(message)
        at = message.end
    found.rest = data[at:]
    return found


def answers(data: bytes, methods: Sequence[bytes], ended: bool) -> Stream:
    """Read what a client gets for requests with these `methods`; `ended`: and then the connection ended cleanly."""
    found = Stream()
    at = 0
    interim: list[tuple[int, Fields]] = []
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            found.partial = True
            break
        first, fields = _lines(data[at:end], whole=True)
        match = _STATUS.fullmatch(first)
        if match is None:
            raise Disagreement(f"not a status line: {first!r}")
        status = int(match[1])
        if 100 <= status < 200 and status != 101:
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in fields):
                raise Disagreement("a 1xx carries framing")
            interim.append((status, fields))
            at = end + 4
            continue
        if len(found.messages) == len(methods):
            raise Disagreement(f"one more answer than requests: {first!r}")
        method = methods[len(found.messages)]
        start = (match[1],)
        framing, length = _framing(fields)
        if status == 101:
            framing = "upgraded"
        elif method == b"HEAD" or status in BODILESS:
            framing = "none"
        if framing == "close":
            message, done = Message(start, fields, data[end + 4 :], (), len(data), "close"), ended
        else:
            message, done = _body(data, end + 4, start, fields, framing, length)
        message = replace(message, interim=tuple(interim))
        interim = []
        if not done:
            found.partial = True
            found.begun = message
            break
        found.messages.append(message)
        at = message.end
        if framing == "upgraded":
            break
    found.rest = data[at:]
    if interim:
        found.partial = True
    return found


def _lines(head: bytes, whole: bool) -> tuple[bytes, Fields]:
    """The first line and the fields. Of an incomplete head only the lines that are there are read."""
    lines = head.split(b"\r\n")
    if not whole:
        lines = lines[:-1] or [b""]
    fields = []
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Disagreement(f"not a field: {line!r}")
        fields.append((match[1].lower(), match[2]))
    if b"\n" in lines[0] or b"\r" in lines[0]:
        raise Disagreement(f"a bare CR or LF in {lines[0]!r}")
    return lines[0], tuple(fields)


def _framing(fields: Fields) -> tuple[str, int]:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if codings != [b"chunked"] or lengths:
            raise Disagreement(f"framing by {codings!r} and {lengths!r}")
        return "chunked", 0
    if lengths:
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise Disagreement(f"Content-Length is {lengths!r}")
        return "length", int(lengths[0])
    return "close", 0


def _body(
    data: bytes, at: int, start: tuple[bytes, ...], fields: Fields, framing: str, length: int
) -> tuple[Message, bool]:
    """The message, and whether it is whole."""
    if framing in ("none", "upgraded"):
        return Message(start, fields, b"", (), at, framing), True
    if framing == "length":
        end = at + length
        return Message(start, fields, data[at:end], (), min(end, len(data)), framing), end <= len(data)
    body = b""
    while True:
        stop = data.find(b"\r\n", at)
        if stop < 0:
            return Message(start, fields, body, (), len(data), framing), False
        if not _SIZE.fullmatch(data[at:stop]):
            raise Disagreement(f"not a chunk size: {data[at:stop]!r}")
        size = int(data[at:stop], 16)
        at = stop + 2
        if not size:
            break
        body += data[at : at + size]
        if len(data) < at + size + 2:
            return Message(start, fields, body, (), len(data), framing), False
        if data[at + size : at + size + 2] != b"\r\n":
            raise Disagreement("a chunk does not end where its size says")
        at += size + 2
    if data[at : at + 2] == b"\r\n":
        return Message(start, fields, body, (), at + 2, framing), True
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return Message(start, fields, body, (), len(data), framing), False
    _, trailers = _lines(b"\r\n" + data[at:end], whole=True)
    return Message(start, fields, body, trailers, end + 4, framing), True
