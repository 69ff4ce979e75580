"""What the heads of requests and of answers have in common: field lines, names, tokens.

PURE. The strictness is that of RFC 9112: a line ends in CRLF and nothing else, a name is a
token and stands right before its colon, a value has no control characters. What two
parsers could read in two ways is refused rather than passed on.

Speed: the same lines come again and again, in each request of a client and from all clients of one
kind. So a line is judged once and remembered with what it means to a proxy; a known line
costs one lookup. Of lines that differ each time at least the name is known. Values are looked at only
where they mean something.
"""

from __future__ import annotations

import re
from typing import Final

from coalmine.model.names import VERSION_HEADER

CRLF: Final = b"\r\n"
END: Final = b"\r\n\r\n"

#: Bytes that no line may contain: controls other than HTAB, and DEL. RFC 9110 5.5 lets a
#: recipient keep some of them; Node and Go refuse them as well.
FORBIDDEN: Final = bytes(c for c in (*range(0x20), 0x7F) if c != 9)
#: Changes exactly the bytes that are forbidden: a line that it leaves alone has none. Several times as fast as a
#: regular expression.
_MARKED: Final = bytes(0xFF if c in FORBIDDEN else c for c in range(256))

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: A host and an optional port; white space around them is for `value_of` to take away.
HOSTS: Final = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")

# What a field means to a proxy. PLAIN is passed on unread.
PLAIN: Final = 0
HOP: Final = 1
CONNECTION: Final = 2
HOST: Final = 3
CONTENT_LENGTH: Final = 4
TRANSFER_ENCODING: Final = 5
TE: Final = 6
UPGRADE: Final = 7
EXPECT: Final = 8
FORWARDED_FOR: Final = 9
FORWARDED_PROTO: Final = 10
FORWARDED_HOST: Final = 11
#: Says where a request came from, in words that we do not add to.
FORWARDED: Final = 12
PIN: Final = 13
COOKIE: Final = 14
#: ``Connection: keep-alive`` and nothing else: what we would say ourselves.
KEPT: Final = 15
#: ``Connection: close`` and nothing else.
CLOSES: Final = 16

_SPECIAL: Final = {
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    # Asks for HTTP/2 over an upgrade that we do not pass on (RFC 9113 dropped it).
    b"http2-settings": HOP,
    b"connection": CONNECTION,
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"te": TE,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-forwarded-host": FORWARDED_HOST,
    b"forwarded": FORWARDED,
    b"x-real-ip": FORWARDED,
    VERSION_HEADER.encode(): PIN,
    b"cookie": COOKIE,
}

#: Fields that a Connection field cannot take out of a message: without them it is another message.
UNREMOVABLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"close", b"keep-alive"})

#: Fields that are different each time, or secret: their lines are not remembered.
_UNIQUE: Final = frozenset(
    {b"cookie", b"set-cookie", b"authorization", b"proxy-authorization", b"traceparent", b"tracestate", b"x-request-id"}
)

#: Lines that were found well-formed, with their kinds. Bounded in number and length; when it is
#: full it starts anew, so that lines that never come again do not stay.
KINDS: Final[dict[bytes, int]] = {}
_MAX_KINDS: Final = 4096
_MAX_LINE: Final = 192
#: Names that were found well-formed, as they were written, with the kinds of their fields.
_NAMES: Final[dict[bytes, int]] = {}
_MAX_NAMES: Final = 1024
#: Longer ones are nobody's usual fields, and would only be remembered to fill the memory.
_MAX_NAME: Final = 64
#: Added to the kind of a name whose lines are not remembered.
_UNREMEMBERED: Final = 64


class Malformed(ValueError):
    """A head or a body that is not HTTP. `status` answers a request that was so; the text is a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


def kind(line: bytes) -> int:
    """What a field line means that is not in `KINDS`. Raises Malformed when it is not well-formed."""
    name, colon, _ = line.partition(b":")
    known = _NAMES.get(name) if colon else None
    if known is None:
        known = _name(line)
    if line.translate(_MARKED) != line:
        raise Malformed(400, "A field contains a control character, or a line ends in a bare CR or LF.")
    if known >= _UNREMEMBERED:
        return known - _UNREMEMBERED
    if known == CONNECTION:
        if line[10:] == b": keep-alive":
            known = KEPT
        elif line[10:] == b": close":
            known = CLOSES
    if len(line) <= _MAX_LINE:
        if len(KINDS) >= _MAX_KINDS:
            KINDS.clear()
        KINDS[line] = known
    return known


def kind_of(line: bytes) -> int:
    """What a field line means. Raises Malformed when it is not well-formed."""
    known = KINDS.get(line)
    return kind(line) if known is None else known


def _name(line: bytes) -> int:
    """Judge a field's name that was not seen before. Raises Malformed."""
    name, colon, _ = line.partition(b":")
    if name[:1] in (b" ", b"\t"):
        raise Malformed(400, "A field is folded over several lines.")
    if not colon:
        raise Malformed(400, "A field line has no colon.")
    if not TOKEN.fullmatch(name):
        raise Malformed(400, "A field name is not a token: there is a space before its colon, or a stray character.")
    lower = name.lower()
    known = _SPECIAL.get(lower, PLAIN)
    if known == PLAIN and b"_" in name and lower.replace(b"_", b"-") in _SPECIAL:
        # CGI, WSGI and their kin read Content_Length and Content-Length as one variable.
        known = HOP
    if lower in _UNIQUE:
        known += _UNREMEMBERED
    if len(name) <= _MAX_NAME:
        if len(_NAMES) >= _MAX_NAMES:
            _NAMES.clear()
        _NAMES[name] = known
    return known


def value_of(line: bytes) -> bytes:
    """The value of a field line, without the white space around it."""
    return line[line.find(b":") + 1 :].strip(b" \t")


def length_of(line: bytes) -> int:
    """The number in a Content-Length line. Raises Malformed: one number, no sign, no list (RFC 9112 6.3)."""
    digits = line[16:]
    if line[14:16] != b": " or not digits.isdigit() or len(digits) > 18:
        digits = value_of(line)
        if not _DIGITS.fullmatch(digits):
            raise Malformed(400, "Content-Length is not one number of at most 18 digits.")
    return int(digits)


def tokens(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, in lower case."""
    return [token for token in (part.strip(b" \t").lower() for part in value.split(b",")) if token]


def without(lines: list[bytes], named: set[bytes]) -> list[bytes]:
    """The start line and the field lines whose names Connection did not name."""
    return lines[:1] + [line for line in lines[1:] if line[: line.find(b":")].lower() not in named]
