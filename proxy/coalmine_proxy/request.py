"""The head of a request: read strictly, written on with only the hop-by-hop lines cut out.

PURE. Sources: RFC 9112 sections 2 to 7, RFC 9110 section 7. A refusal carries the status
and the sentence for the client; each of them also ends the connection, as nobody
knows where the next request would begin.

A head of which nothing has to be taken out goes on as the very bytes that came, with our own lines
after them. Otherwise it is put together again from its lines.
"""

from __future__ import annotations

import re
from typing import Final

from coalmine_proxy import head
from coalmine_proxy.forwarding import Origin
from coalmine_proxy.framing import CHUNKED
from coalmine_proxy.head import CRLF, END, HOSTS, KINDS, Malformed, kind, kind_of, length_of, tokens, value_of
from coalmine_proxy.limits import Limits

_START: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])")
#: Changes whatever is not visible ASCII, and the ``#``: a target that it leaves alone is a good one.
_VISIBLE: Final = bytes(c if 0x20 < c < 0x7F and c != 0x23 else 0xFF if c == 0 else 0 for c in range(256))
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*)?")
_AUTHORITY: Final = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]+")

#: Methods that may be sent a second time (RFC 9110 9.2.2).
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_USUAL: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})

#: Host lines that were found well-formed. Bounded in number and length as `head.KINDS` is.
_HOST_LINES: Final[dict[bytes, bytes]] = {}
_MAX_HOST_LINES: Final = 256
_MAX_HOST_LINE: Final = 128


class Request:
    """One request's head. `length` is the body's: 0 none, `CHUNKED`, or a number of bytes.

    `lines` are the start line and all fields, `cut` the indices of those that do not go on; None when the
    whole block goes on as it came.
    `pin` is the value of ``coalmine-version`` in lower case, `cookies` the number of Cookie fields; `upgrade`
    what the client wants to change to, or empty; `expects`: the client waits for a 100 before its body.
    """

    __slots__ = (
        "block",
        "cookies",
        "cut",
        "expects",
        "forwarded",
        "forwarded_for",
        "has_length",
        "host",
        "http10",
        "keep_alive",
        "length",
        "lines",
        "method",
        "path",
        "pin",
        "target",
        "trailers",
        "upgrade",
    )

    def __init__(self, block: bytes, lines: list[bytes], method: bytes, target: bytes) -> None:
        self.block = block
        self.lines = lines
        self.cut: list[int] | None = None
        self.method = method
        self.target = target
        self.path = target.partition(b"?")[0]
        self.host: bytes | None = None
        self.http10 = False
        self.keep_alive = True
        self.length = 0
        self.has_length = False
        self.upgrade = b""
        self.pin = b""
        self.cookies = 0
        self.trailers = False
        self.expects = False
        self.forwarded_for = b""
        #: Lines that say where the request came from, from somebody before us.
        self.forwarded: list[bytes] | None = None

    @property
    def cookie(self) -> bytes:
        """The values of all Cookie fields."""
        if not self.cookies:
            return b""
        return b"; ".join([value_of(line) for line in self.lines[1:] if kind_of(line) == head.COOKIE])

    def drop(self, index: int) -> None:
        """Line `index` does not go on."""
        if self.cut is None:
            self.cut = [index]
        else:
            self.cut.append(index)

    def change(self, index: int, line: bytes) -> None:
        """Line `index` goes on as `line`."""
        self.lines[index] = line
        if self.cut is None:
            self.cut = []

    def field(self, name: bytes) -> bytes | None:
        """The value of a field by its name in lower case, several joined by a comma; None when it is absent."""
        if name == b"host":
            # that of the target counts, where there is one
            return self.host
        found = [value_of(line) for line in self.lines[1:] if line[: line.find(b":")].lower() == name]
        return b", ".join(found) if found else None

    def forward(self, origin: Origin) -> bytes:
        """The head that goes to the application; `origin` is the connection that the request came on."""
        host = self.host
        cut = self.cut
        if cut is None and host is not None:
            # usual: all of it goes on, and ours comes after it
            return b"".join((self.block, origin.usual, host, END))
        lines = [line for i, line in enumerate(self.lines) if cut is None or i not in cut]
        if host is None:
            # an HTTP/1.0 client need not send one
            self.host = host = origin.asked()
            lines.append(b"Host: " + host)
        origin.extend(lines, host, self.forwarded_for, self.forwarded)
        if self.length == CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        if self.upgrade:
            lines.append(b"Connection: Upgrade\r\nUpgrade: " + self.upgrade)
        elif self.trailers:
            lines.append(b"Connection: TE\r\nTE: trailers")
        lines.append(CRLF)
        return CRLF.join(lines)


def parse_request(block: bytes, limits: Limits) -> Request:
    """Read a head without its closing empty line. Raises Malformed."""
    lines = block.split(CRLF)
    count = len(lines)
    if count > limits.fields + 1:
        raise Malformed(431, f"The head has more than {limits.fields} fields.")
    first = lines[0]
    if len(first) > limits.line:
        raise Malformed(414, f"The request line is longer than {limits.line} bytes.")
    words = first.split(b" ")
    if len(words) != 3:
        raise _bad_start(first)
    method, target, version = words
    if method not in _USUAL or version != b"HTTP/1.1" or target.translate(_VISIBLE) != target or not target:
        version = _unusual_start(first)
    request = Request(block, lines, method, target)
    if version != b"HTTP/1.1":
        request.change(0, first[:-3] + b"1.1")
        if version == b"HTTP/1.0":
            request.http10 = True
            request.keep_alive = False
    special = False
    for i in range(1, count):
        line = lines[i]
        known = KINDS.get(line)
        what = kind(line) if known is None else known
        if what == head.PLAIN:
            continue
        if what == head.HOST:
            if request.host is not None:
                raise Malformed(400, "There is more than one Host.")
            host = _HOST_LINES.get(line)
            request.host = _host(request, i) if host is None else host
        elif what == head.COOKIE:
            request.cookies += 1
        elif what == head.CLOSES and not request.http10:
            request.keep_alive = False
            request.drop(i)
        elif what != head.KEPT or request.http10:
            special = True
    if special:
        _read(request)
    if request.host is None and not request.http10:
        raise Malformed(400, "There is no Host.")
    if target[0] != 0x2F:
        _other_target(request)
    return request


def _unusual_start(line: bytes) -> bytes:
    """Judge a request line that is not the usual kind; the version that it is to be read as. Raises Malformed."""
    match = _START.fullmatch(line)
    if match is None:
        raise _bad_start(line)
    if match[3] != b"1":
        raise Malformed(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if match[1] == b"CONNECT":
        raise Malformed(405, "CONNECT is not served here.")
    # A higher minor version is answered as 1.1, and everything goes on as 1.1.
    return b"HTTP/1." + match[4]


def _bad_start(start: bytes) -> Malformed:
    """Why the request line was not understood."""
    if re.fullmatch(rb"[^ ]+ [^ ]+ HTTP/[0-9]+\.[0-9]+", start) and not re.search(rb" HTTP/[0-9]\.[0-9]$", start):
        return Malformed(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return Malformed(400, "The request line is not a method, a target and HTTP/1.1 with single spaces.")


def _host(request: Request, index: int) -> bytes:
    """The host in line `index`. Raises Malformed."""
    line = request.lines[index]
    host = value_of(line)
    if not HOSTS.fullmatch(host):
        raise Malformed(400, "Host is not a host and an optional port.")
    if line[5:] != b" " + host:
        request.change(index, b"Host: " + host)
    elif len(line) <= _MAX_HOST_LINE:
        if len(_HOST_LINES) >= _MAX_HOST_LINES:
            _HOST_LINES.clear()
        _HOST_LINES[line] = host
    return host


def _read(request: Request) -> None:
    """Act on the fields that mean something to a proxy. Raises Malformed."""
    lines = request.lines
    connection: list[bytes] = []
    coded: bytes | None = None
    for i in range(1, len(lines)):
        line = lines[i]
        what = kind_of(line)
        if what in (head.PLAIN, head.HOST, head.COOKIE):
            continue
        if what in (head.KEPT, head.CLOSES) and not request.http10:
            continue
        if what == head.CONTENT_LENGTH:
            if request.has_length:
                raise Malformed(400, "There is more than one Content-Length.")
            request.length = length_of(line)
            request.has_length = True
            if line[14:] != b": %d" % request.length:
                # A lenient parser behind us may read tabs and leading zeros otherwise.
                request.change(i, b"Content-Length: %d" % request.length)
        elif what in (head.CONNECTION, head.KEPT, head.CLOSES):
            connection += tokens(value_of(line))
            request.drop(i)
        elif what == head.TRANSFER_ENCODING:
            value = value_of(line)
            coded = value if coded is None else coded + b"," + value
            request.drop(i)
        elif what == head.TE:
            request.trailers = request.trailers or b"trailers" in tokens(value_of(line))
            request.drop(i)
        elif what == head.UPGRADE:
            request.upgrade = request.upgrade + b", " + value_of(line) if request.upgrade else value_of(line)
            request.drop(i)
        elif what == head.EXPECT:
            # A 1.0 client does not understand 100 (RFC 9110 10.1.1).
            if request.http10:
                request.drop(i)
            else:
                request.expects = True
        elif what == head.PIN:
            request.pin = value_of(line).lower()
        elif what == head.FORWARDED_FOR:
            value = value_of(line)
            if value:
                request.forwarded_for += value + b", "
            request.drop(i)
        elif what == head.HOP:
            request.drop(i)
        else:
            if request.forwarded is None:
                request.forwarded = []
            request.forwarded.append(line)
            request.drop(i)
    if coded is not None:
        _chunked(request, coded)
    if connection:
        _connection(request, connection)
    if request.upgrade:
        _upgrade(request, connection)


def _chunked(request: Request, coded: bytes) -> None:
    if request.http10:
        raise Malformed(400, "Transfer-Encoding in HTTP/1.0 cannot be trusted.")
    if request.has_length:
        raise Malformed(400, "Transfer-Encoding and Content-Length contradict each other.")
    if coded.lower() != b"chunked":
        if any(coding != b"chunked" for coding in tokens(coded)):
            raise Malformed(501, "The only transfer coding known here is chunked.")
        raise Malformed(400, "Transfer-Encoding must be chunked, once.")
    request.length = CHUNKED


def _connection(request: Request, connection: list[bytes]) -> None:
    """Take out what Connection names; learn whether the client keeps the connection."""
    if b"close" in connection:
        request.keep_alive = False
    elif request.http10 and b"keep-alive" in connection:
        request.keep_alive = True
    named = set(connection) - head.UNREMOVABLE
    if not named:
        return
    if b"x-forwarded-for" in named:
        request.forwarded_for = b""
    if request.forwarded is not None:
        request.forwarded = [line for line in request.forwarded if _name(line) not in named]
    if b"expect" in named:
        request.expects = False
    lines = request.lines
    for i in range(1, len(lines)):
        if _name(lines[i]) in named:
            request.drop(i)


def _name(line: bytes) -> bytes:
    return line[: line.find(b":")].lower()


def _upgrade(request: Request, connection: list[bytes]) -> None:
    """An upgrade counts only when Connection names it, in HTTP/1.1, without a body.

    With a body there would be two streams in one direction. ``h2c`` would hide whole requests
    from the and RFC 9113 dropped it.
    """
    wanted = tokens(request.upgrade)
    if (
        request.http10
        or request.length != 0
        or b"upgrade" not in connection
        or any(t.startswith(b"h2") for t in wanted)
    ):
        request.upgrade = b""


def _other_target(request: Request) -> None:
    """Targets that do not begin with a slash: absolute, asterisk. Raises Malformed."""
    target = request.target
    if target == b"*" and request.method == b"OPTIONS":
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
    request.target = rest
    request.path = rest.partition(b"?")[0]
    request.host = match[1]
    lines = request.lines
    for i in range(1, len(lines)):
        if kind_of(lines[i]) == head.HOST:
            request.drop(i)
    request.change(0, request.method + b" " + rest + b" HTTP/1.1\r\nHost: " + match[1])
