"""The head of an answer from an application: read strictly, written on for one client.

PURE. An answer that is not HTTP raises `Malformed`; the client then gets 502 and the connection
that it came from is closed. Sources: RFC 9112 sections 4, 5, 6; RFC 9110 sections 6, 8, 15.

A head of which nothing has to be taken out (`whole`) goes on as the very bytes that came.
"""

from __future__ import annotations

import re
from typing import Final

from coalmine_proxy import head
from coalmine_proxy.framing import CHUNKED, UNTIL_CLOSE
from coalmine_proxy.head import CRLF, KINDS, Malformed, kind_of, length_of, tokens, value_of, without
from coalmine_proxy.limits import Limits

_START: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")

#: Status lines of HTTP/1.1 that were understood, with their status. Bounded as `head.KINDS` is.
_STARTS: Final[dict[bytes, int]] = {}
_MAX_STARTS: Final = 256
_MAX_START: Final = 64


class Response:
    """One answer's head.

    `length` is the body's (bytes, `CHUNKED` or `UNTIL_CLOSE`); `keep_alive` says whether the
    connection to the application can be used again, `close` that the application wrote
    ``Connection: close`` itself; `whole` that the head may go on as it came.
    """

    __slots__ = ("close", "http10", "keep_alive", "length", "lines", "named", "status", "upgrade", "whole")

    def __init__(self, lines: list[bytes], status: int) -> None:
        self.lines = lines
        self.status = status
        self.http10 = False
        self.keep_alive = True
        self.close = False
        self.length = UNTIL_CLOSE
        self.upgrade = b""
        self.whole = True
        #: What Connection names, to be taken out as well.
        self.named: set[bytes] | None = None

    def forward(self) -> list[bytes]:
        """The lines that go on, framed by nothing yet but a Content-Length that was there."""
        status = self.status
        bodiless = status < 200 or status == 204
        lines = [b"HTTP/1.1" + self.lines[0][8:]]
        for line in self.lines[1:]:
            kind = kind_of(line)
            if kind == head.CONTENT_LENGTH:
                # A 1xx or 204 has none (RFC 9110 8.6).
                if not bodiless:
                    lines.append(b"Content-Length: %d" % length_of(line))
            elif kind not in _CUT:
                lines.append(line)
        return without(lines, self.named) if self.named else lines


#: What does not go on.
_CUT: Final = (head.HOP, head.CONNECTION, head.KEPT, head.CLOSES, head.TRANSFER_ENCODING, head.UPGRADE)


def parse_response(block: bytes, method: bytes, limits: Limits) -> Response:
    """Read a head without its closing empty line; `method` is that of the request. Raises Malformed."""
    lines = block.split(CRLF)
    count = len(lines)
    if count > limits.fields + 1:
        raise Malformed(502, f"The answer has more than {limits.fields} fields.")
    status = _STARTS.get(lines[0], 0)
    if status:
        response = Response(lines, status)
    else:
        response = _start(lines)
        status = response.status
    length = -1
    special = False
    for i in range(1, count):
        line = lines[i]
        known = KINDS.get(line)
        what = _closed_up(response, i) if known is None else known
        if what == head.PLAIN:
            continue
        if what == head.CONTENT_LENGTH:
            if length >= 0:
                raise Malformed(502, "The answer has more than one Content-Length.")
            line = lines[i]
            length = length_of(line)
            if line[14:16] != b": " or (length and line[16] == 0x30) or len(line) - 16 > 18:
                response.whole = False
        elif what != head.KEPT or response.http10:
            special = True
    coded = _read(response) if special else None
    bodiless = status < 200 or status == 204
    if coded is not None and not bodiless:
        if response.http10 or length >= 0 or coded.lower() != b"chunked":
            raise Malformed(502, "The answer's Transfer-Encoding is not chunked alone, in HTTP/1.1.")
        response.length = CHUNKED
    elif length >= 0:
        response.length = length
    if bodiless or status == 304 or method == b"HEAD":
        if bodiless and length >= 0:
            response.whole = False
        response.length = 0
    elif response.length == UNTIL_CLOSE:
        response.keep_alive = False
    return response


def _start(lines: list[bytes]) -> Response:
    """Read a status line that was not seen before. Raises Malformed."""
    line = lines[0]
    match = _START.fullmatch(line)
    if match is None:
        raise Malformed(502, "The status line is not HTTP/1.1.")
    status = int(match[2])
    response = Response(lines, status)
    if match[1] == b"0":
        response.http10 = True
        response.keep_alive = False
    if match[1] != b"1":
        response.whole = False
    elif len(line) <= _MAX_START:
        if len(_STARTS) >= _MAX_STARTS:
            _STARTS.clear()
        _STARTS[line] = status
    return response


def _read(response: Response) -> bytes | None:
    """Act on the fields that mean something to a proxy. Returns the transfer codings."""
    connection: list[bytes] = []
    coded: bytes | None = None
    for line in response.lines[1:]:
        what = kind_of(line)
        if what in (head.CONNECTION, head.KEPT, head.CLOSES):
            connection += tokens(value_of(line))
            response.whole = False
        elif what == head.TRANSFER_ENCODING:
            value = value_of(line)
            coded = value if coded is None else coded + b"," + value
            response.whole = False
        elif what == head.UPGRADE:
            response.upgrade = value_of(line)
            response.whole = False
        elif what == head.HOP:
            response.whole = False
    if b"close" in connection:
        response.close = True
        response.keep_alive = False
    elif response.http10 and b"keep-alive" in connection:
        response.keep_alive = True
    named = set(connection) - head.UNREMOVABLE - {b"upgrade", b"te"}
    response.named = named or None
    return coded


def _closed_up(response: Response, index: int) -> int:
    """Judge a line that was not known; a proxy takes the space before the colon out (RFC 9112 5.1)."""
    line = response.lines[index]
    name, colon, value = line.partition(b":")
    closed = name.rstrip(b" \t")
    if closed != name:
        line = closed + colon + value
        response.lines[index] = line
        response.whole = False
    return kind_of(line)
