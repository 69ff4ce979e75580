"""What the heads of requests and of answers have in common: field lines, names, tokens.

PURE. The strictness is that of RFC 9112: a line ends in CRLF and nothing else, a name is a
token and stands right before its colon, a value has no control characters. What two
parsers could read in two ways is refused rather than passed on.

Speed: the same lines come again and again, in each request of a client and from all clients of one
kind. So a line is judged once and remembered with what it means to a proxy; a known line
costs one lookup, and only new ones are looked at character by character.
"""

from __future__ import annotations

import re
from typing import Final

CRLF: Final = b"\r\n"
END: Final = b"\r\n\r\n"

#: Bytes that no line may contain: controls other than HTAB, and DEL. RFC 9110 5.5 lets a
#: recipient keep some of them; Node and Go refuse them as well.
FORBIDDEN: Final = bytes(c for c in (*range(0x20), 0x7F) if c != 9)

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_HOST: Final = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")

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
PIN: Final = 12
#: PLAIN, but different each time, or secret: the line is not remembered.
UNIQUE: Final = 13

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
    b"coalmine-version": PIN,
    b"cookie": UNIQUE,
    b"set-cookie": UNIQUE,
    b"authorization": UNIQUE,
    b"traceparent": UNIQUE,
    b"x-request-id": UNIQUE,
}

#: Fields that a Connection field cannot take out of a message: without them it is another message.
UNREMOVABLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"close", b"keep-alive"})

#: Lines that were found well-formed, with their kinds. Bounded in number and length; when it is
#: full it starts anew, so that lines that never come again do not stay.
KINDS: Final[dict[bytes, int]] = {}
_MAX_KINDS: Final = 4096
_MAX_REMEMBERED: Final = 192
#: Names that were found well-formed, as they were written.
_NAMES: Final[dict[bytes, int]] = {}
_MAX_NAMES: Final = 1024
#: Longer ones are nobody's usual fields, and would only be remembered to fill the memory.
_MAX_NAME: Final = 64


class Malformed(ValueError):
    """A head or a body that is not HTTP. `status` answers a request that was so; the text is a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


def kind(line: bytes) -> int:
    """What a field line means. Raises Malformed when it is not well-formed; see the rules above."""
    name, colon, value = line.partition(b":")
    known = _NAMES.get(name)
    if known is None or not colon:
        known = _name(name, colon)
    if len(value.translate(None, FORBIDDEN)) != len(value):
        raise Malformed(400, "A field's value contains a control character, or a bare CR or LF.")
    if known == HOST and not _HOST.fullmatch(value.strip(b" \t")):
        raise Malformed(400, "Host is not a host and an optional port.")
    if known == CONTENT_LENGTH and not _DIGITS.fullmatch(value.strip(b" \t")):
        raise Malformed(400, "Content-Length is not one number of at most 18 digits.")
    if known == UNIQUE:
        return PLAIN
    if len(line) <= _MAX_REMEMBERED:
        if len(KINDS) >= _MAX_KINDS:
            KINDS.clear()
        KINDS[line] = known
    return known


def _name(name: bytes, colon: bytes) -> int:
    """Judge a field's name that was not seen before. Raises Malformed."""
    if name[:1] in (b" ", b"\t"):
        raise Malformed(400, "A field is folded over several lines.")
    if not colon:
        raise Malformed(400, "A field line has no colon.")
    if not TOKEN.fullmatch(name):
        raise Malformed(400, "A field name is not a token: there is a space before its colon, or a stray character.")
    known = _SPECIAL.get(name.lower(), PLAIN)
    if len(name) <= _MAX_NAME:
        if len(_NAMES) >= _MAX_NAMES:
            _NAMES.clear()
        _NAMES[name] = known
    return known


def value_of(line: bytes) -> bytes:
    """The value of a field line, without the white space around it."""
    return line[line.find(b":") + 1 :].strip(b" \t")


def tokens(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, in lower case."""
    return [token for token in (part.strip(b" \t").lower() for part in value.split(b",")) if token]


def without(lines: list[bytes], named: set[bytes]) -> list[bytes]:
    """The start line and the field lines whose names Connection did not name."""
    return lines[:1] + [line for line in lines[1:] if line[: line.find(b":")].lower() not in named]
