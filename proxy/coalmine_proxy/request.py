"""The head of a request: read strictly, written on with only the hop-by-hop lines cut out.

PURE. Sources: RFC 9112 sections 2 to 7, RFC 9110 section 7. A refusal carries the status
and the sentence for the client; each of them also ends the connection, as nobody
knows where the next request would begin.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from coalmine_proxy import head
from coalmine_proxy.head import CRLF, KINDS, Malformed, kind, tokens, value_of, without
from coalmine_proxy.limits import Limits

#: A target is visible ASCII without ``#``: a fragment is never sent.
_START: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*)?")
_AUTHORITY: Final = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]+")

#: Methods that may be sent a second time (RFC 9110 9.2.2).
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})

CHUNKED: Final = -1
VIA: Final = b"Via: 1.1 coalmine"


class Request:
    """One request's head. `length` is the body's: 0 none, `CHUNKED`, or a number of bytes.

    `lines` are the start line and the fields that are passed on as they came; `pin` is the value of
    ``coalmine-version`` in lower case; `upgrade` what the client wants to change to, or empty.
    """

    method: bytes
    path: bytes
    lines: list[bytes]
    # What most requests are is written on the class, so that making one costs little.
    host: bytes | None = None
    http10 = False
    keep_alive = True
    length = 0
    has_length = False
    upgrade = b""
    pin = b""
    trailers = False
    forwarded_for = b""
    forwarded_proto = False
    forwarded_host = False

    def forward(self, client: bytes, asked: bytes) -> bytes:
        """The head that goes to the application. `client` is the client's address, `asked` ours.

        `asked` stands in for a Host that an HTTP/1.0 client did not send.
        """
        lines = self.lines
        if self.host is None:
            self.host = asked
            lines.append(b"Host: " + asked)
        lines.append(b"X-Forwarded-For: " + self.forwarded_for + client)
        if not self.forwarded_proto:
            lines.append(b"X-Forwarded-Proto: http")
        if not self.forwarded_host:
            lines.append(b"X-Forwarded-Host: " + self.host)
        lines.append(VIA)
        if self.length == CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        if self.upgrade:
            lines.append(b"Connection: Upgrade\r\nUpgrade: " + self.upgrade)
        elif self.trailers:
            lines.append(b"Connection: TE\r\nTE: trailers")
        lines.append(CRLF)
        return CRLF.join(lines)


class _Start(NamedTuple):
    """A request line that was understood, written for the way on."""

    method: bytes
    target: bytes
    path: bytes
    http10: bool
    line: bytes


#: Request lines that were understood, as for fields in `head`.
_STARTS: Final[dict[bytes, _Start]] = {}
_MAX_STARTS: Final = 1024
_MAX_REMEMBERED: Final = 128


def parse_request(block: bytes, limits: Limits) -> Request:
    """Read a head without its closing empty line. Raises Malformed."""
    lines = block.split(CRLF)
    if len(lines) > limits.fields:
        raise Malformed(431, f"The head has more than {limits.fields} fields.")
    start = _STARTS.get(lines[0]) or _start(lines[0], limits)
    request = Request()
    request.method, target, request.path, http10, first = start
    if http10:
        request.http10 = True
        request.keep_alive = False
    request.lines = kept = [first]
    append = kept.append
    get = KINDS.get
    connection: list[bytes] | None = None
    coded = b""
    del lines[0]
    for line in lines:
        what = get(line)
        if what is None:
            what = kind(line)
        if not what:
            append(line)
        elif what == head.HOST:
            if request.host is not None:
                raise Malformed(400, "There is more than one Host.")
            request.host = value_of(line)
            append(b"Host: " + request.host)
        elif what == head.CONTENT_LENGTH:
            if request.has_length:
                raise Malformed(400, "There is more than one Content-Length.")
            request.length = int(value_of(line))
            request.has_length = True
            # In our own words: a lenient parser behind us may read tabs and leading zeros otherwise.
            append(b"Content-Length: %d" % request.length)
        elif what == head.CONNECTION:
            connection = (connection or []) + tokens(value_of(line))
        elif what == head.TRANSFER_ENCODING:
            coded += b"," + value_of(line)
        elif what == head.TE:
            request.trailers = request.trailers or b"trailers" in tokens(value_of(line))
        elif what == head.UPGRADE:
            request.upgrade = value_of(line)
        elif what == head.EXPECT:
            # A 1.0 client does not understand 100 (RFC 9110 10.1.1).
            if not http10:
                append(line)
        elif what == head.FORWARDED_FOR:
            value = value_of(line)
            if value:
                request.forwarded_for += value + b", "
        elif what == head.FORWARDED_PROTO:
            request.forwarded_proto = True
            append(line)
        elif what == head.FORWARDED_HOST:
            request.forwarded_host = True
            append(line)
        elif what == head.PIN:
            request.pin = value_of(line).lower()
            append(line)

    if coded:
        _chunked(request, coded)
    if connection is not None:
        _connection(request, connection)
    if request.upgrade:
        _upgrade(request, connection)
    if request.host is None and not http10:
        raise Malformed(400, "There is no Host.")
    if request.method == b"CONNECT":
        raise Malformed(405, "CONNECT is not served here.")
    if target[0] != 0x2F:
        _other_target(request, target)
    return request


def _start(line: bytes, limits: Limits) -> _Start:
    """Read a request line. Raises Malformed."""
    if len(line) > limits.line:
        raise Malformed(414, f"The request line is longer than {limits.line} bytes.")
    match = _START.fullmatch(line)
    if match is None:
        raise _bad_start(line)
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Malformed(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    # A higher minor version is answered as 1.1, and everything goes on as 1.1.
    start = _Start(method, target, target.partition(b"?")[0], minor == b"0", line[:-1] + b"1")
    if len(line) <= _MAX_REMEMBERED:
        if len(_STARTS) >= _MAX_STARTS:
            _STARTS.clear()
        _STARTS[line] = start
    return start


def _bad_start(start: bytes) -> Malformed:
    """Why the request line was not understood."""
    if re.fullmatch(rb"[^ ]+ [^ ]+ HTTP/[0-9]+\.[0-9]+", start) and not re.search(rb" HTTP/[0-9]\.[0-9]$", start):
        return Malformed(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return Malformed(400, "The request line is not a method, a target and HTTP/1.1 with single spaces.")


def _chunked(request: Request, coded: bytes) -> None:
    if request.http10:
        raise Malformed(400, "Transfer-Encoding in HTTP/1.0 cannot be trusted.")
    if request.has_length:
        raise Malformed(400, "Transfer-Encoding and Content-Length contradict each other.")
    codings = tokens(coded)
    if any(coding != b"chunked" for coding in codings):
        raise Malformed(501, "The only transfer coding known here is chunked.")
    if len(codings) != 1:
        raise Malformed(400, "Transfer-Encoding must be chunked, once.")
    request.length = CHUNKED


def _connection(request: Request, connection: list[bytes]) -> None:
    """Take out what Connection names; learn whether the client keeps the connection."""
    if b"close" in connection:
        request.keep_alive = False
    elif request.http10 and b"keep-alive" in connection:
        request.keep_alive = True
    named = set(connection) - head.UNREMOVABLE
    if b"x-forwarded-for" in named:
        request.forwarded_for = b""
    if b"x-forwarded-proto" in named:
        request.forwarded_proto = False
    if b"x-forwarded-host" in named:
        request.forwarded_host = False
    named -= {b"te", b"upgrade"}
    if named:
        request.lines = without(request.lines, named)


def _upgrade(request: Request, connection: list[bytes] | None) -> None:
    """An upgrade counts only when Connection names it, in HTTP/1.1, without a body.

    With a body there would be two streams in one direction. ``h2c`` would hide whole requests
    from the split, and RFC 9113 dropped it.
    """
    wanted = tokens(request.upgrade)
    if (
        request.http10
        or request.length != 0
        or connection is None
        or b"upgrade" not in connection
        or any(t.startswith(b"h2") for t in wanted)
    ):
        request.upgrade = b""


def _other_target(request: Request, target: bytes) -> None:
    """Targets that do not begin with a slash: absolute, asterisk."""
    if target == b"*" and request.method == b"OPTIONS":
        request.path = target
        return
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not _AUTHORITY.fullmatch(match[1]):
        raise Malformed(400, "The target is neither a path nor an http address.")
    # The host in the target counts, and the origin gets a path (RFC 9112 3.2.2).
    rest = match[2] or b"/"
    if rest[0] == 0x3F:
        rest = b"/" + rest
    if match[2] is None and request.method == b"OPTIONS":
        rest = b"*"
    request.path = rest.partition(b"?")[0]
    request.host = match[1]
    request.lines = [
        request.method + b" " + rest + b" HTTP/1.1",
        b"Host: " + match[1],
        *(line for line in request.lines[1:] if kind(line) != head.HOST),
    ]
