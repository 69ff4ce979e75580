"""The head of an answer from an application: read strictly, written on for one client.

PURE. An answer that is not HTTP raises `Malformed`; the client then gets 502 and the connection
that it came from is closed. Sources: RFC 9112 sections 4, 5, 6; RFC 9110 sections 6, 8, 15.
"""

from __future__ import annotations

import re
from typing import Final

from coalmine_proxy import head
from coalmine_proxy.head import CRLF, KINDS, Malformed, kind, tokens, value_of, without
from coalmine_proxy.limits import Limits

_START: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")

# How the body of an answer ends. A number of bytes of 0 or more is itself.
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Response:
    """One answer's head.

    `length` is the body's (bytes, `CHUNKED` or `UNTIL_CLOSE`); `keep_alive` says whether the
    connection to the application can be used again, `close` that the application wrote
    ``Connection: close`` itself.
    """

    lines: list[bytes]
    status: int
    # What most answers are is written on the class, so that making one costs little.
    keep_alive = True
    close = False
    length = UNTIL_CLOSE
    upgrade = b""


#: Status lines that were understood: status, HTTP/1.0 or not, and the line for the way on.
_STARTS: Final[dict[bytes, tuple[int, bool, bytes]]] = {}
_MAX_STARTS: Final = 256
_MAX_REMEMBERED: Final = 64


def parse_response(block: bytes, method: bytes, limits: Limits) -> Response:
    """Read a head without its closing empty line; `method` is that of the request. Raises Malformed."""
    lines = block.split(CRLF)
    if len(lines) > limits.fields:
        raise Malformed(502, f"The answer has more than {limits.fields} fields.")
    status, http10, first = _STARTS.get(lines[0]) or _start(lines[0])
    response = Response()
    response.status = status
    if http10:
        response.keep_alive = False
    bodiless = status < 200 or status == 204
    response.lines = kept = [first]
    append = kept.append
    get = KINDS.get
    connection: list[bytes] | None = None
    coded = b""
    length = -1
    del lines[0]
    for line in lines:
        what = get(line)
        if what is None:
            line = _closed_up(line)
            what = kind(line)
        if not what or what > head.UPGRADE or what == head.HOST or what == head.TE:
            append(line)
        elif what == head.CONTENT_LENGTH:
            if length >= 0:
                raise Malformed(502, "The answer has more than one Content-Length.")
            length = int(value_of(line))
            if not bodiless:
                append(b"Content-Length: %d" % length)
        elif what == head.CONNECTION:
            connection = (connection or []) + tokens(value_of(line))
        elif what == head.TRANSFER_ENCODING:
            coded += b"," + value_of(line)
        elif what == head.UPGRADE:
            response.upgrade = value_of(line)

    if connection is not None:
        if b"close" in connection:
            response.close = True
            response.keep_alive = False
        elif http10 and b"keep-alive" in connection:
            response.keep_alive = True
        named = set(connection) - head.UNREMOVABLE - {b"upgrade", b"te"}
        if named:
            response.lines = without(kept, named)

    if coded and not bodiless:
        if http10 or length >= 0 or tokens(coded) != [b"chunked"]:
            raise Malformed(502, "The answer's Transfer-Encoding is not chunked alone, in HTTP/1.1.")
        response.length = CHUNKED
    elif length >= 0:
        response.length = length
    if bodiless or status == 304 or method == b"HEAD":
        response.length = 0
    if response.length == UNTIL_CLOSE:
        response.keep_alive = False
    return response


def _start(line: bytes) -> tuple[int, bool, bytes]:
    """Read a status line. Raises Malformed."""
    match = _START.fullmatch(line)
    if match is None:
        raise Malformed(502, "The status line is not HTTP/1.1.")
    start = (int(match[2]), match[1] == b"0", b"HTTP/1.1" + line[8:])
    if len(line) <= _MAX_REMEMBERED:
        if len(_STARTS) >= _MAX_STARTS:
            _STARTS.clear()
        _STARTS[line] = start
    return start


def _closed_up(line: bytes) -> bytes:
    """A proxy takes the space before the colon out of an answer (RFC 9112 5.1)."""
    name, colon, value = line.partition(b":")
    return name.rstrip(b" \t") + colon + value
