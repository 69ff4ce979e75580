"""Requests and answers that nobody would think of: good ones, with what frames them spoiled.

Strategies for hypothesis, and nothing that judges. A stream is several messages; each is written well, and then some
places of the whole are changed: line ends, white space, framing fields, chunk sizes, single bytes.
"""

from __future__ import annotations

import itertools
from typing import Final

from hypothesis import strategies as st

_ENDS: Final = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\n\r",
    b"\r\n\r\n",
    b"",
    b"\0\r\n",
    b"\x0b\r\n",
]
_VALUES: Final = [
    b"0",
    b"1",
    b"3",
    b"5",
    b"03",
    b"+3",
    b"-3",
    b"3, 3",
    b"3,4",
    b"0x3",
    b"3 ",
    b"\t3",
    b"3\x0b",
    b"",
    b"99999999999999999999",
    b"\xb2",
    b"3;q",
    b"1_0",
]
_CODINGS: Final = [
    b"chunked",
    b"Chunked",
    b" chunked ",
    b"\tchunked",
    b"\x0bchunked",
    b"xchunked",
    b"chunked, chunked",
    b"identity",
    b"gzip, chunked",
    b"chunked, gzip",
    b"chunked;a",
    b'"chunked"',
    b"",
    b",chunked",
    b"chunked\0",
    b"chunked\xa0",
    b"c hunked",
]
_NAMES: Final = [
    b"%b:",
    b"%b :",
    b"%b\t:",
    b" %b:",
    b"\t%b:",
    b"%b",
    b"%b\0:",
    b"%b\xa0:",
    b"\r%b:",
    b"\n%b:",
    b"%b::",
    b"X-%b:",
]
_FRAMING: Final = [
    b"Content-Length",
    b"Transfer-Encoding",
    b"content-length",
    b"TRANSFER-ENCODING",
    b"Content_Length",
    b"Transfer_Encoding",
]
_OTHERS: Final = [
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: content-length",
    b"Connection: transfer-encoding, host",
    b"Host: b",
    b"TE: trailers",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b"Connection: upgrade",
    b"Keep-Alive: 3",
    b"X: \xe4",
    b"X:",
    b"Cookie: a=b",
    b"X-Forwarded-For: 1.2.3.4",
    b"Trailer: X",
    b"Proxy-Connection: close",
    b"Connection: x",
    b"Connection:",
]
_TARGETS: Final = [
    b"/",
    b"/a?b",
    b"*",
    b"http://a/x",
    b"http://a",
    b"//a",
    b"/%00",
    b"a",
    b"http://u@a/",
    b"/#",
    b"/\x7f",
    b"/ b",
]
_METHODS: Final = [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"get", b"G\0T", b"CONNECT", b"X"]
_VERSIONS: Final = [
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/01.1",
]
_SIZES: Final = [
    b"%x",
    b"%X",
    b"0%x",
    b"%x ",
    b" %x",
    b"0x%x",
    b"+%x",
    b"-%x",
    b"%x;a",
    b'%x;a="b"',
    b"%x ;",
    b"%x\t;x",
    b"%x\n",
    b"%x\r",
    b"1%x",
    b"%xg",
]
_LINES: Final = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 X",
    b"HTTP/1.1 304 X",
    b"HTTP/1.1 404 ",
    b"HTTP/1.1 500",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 100 C",
    b"HTTP/1.1 103 E",
    b"HTTP/1.1 101 S",
    b"HTTP/1.1  200 X",
    b"HTTP/2.0 200 X",
    b"HTTP/1.1 2000 X",
    b"HTTP/1.1 099 X",
]


def _rarely(usual: bytes, odd: list[bytes], of: int = 8) -> st.SearchStrategy[bytes]:
    """Nearly always `usual`."""
    return st.integers(0, of).flatmap(lambda n: st.just(usual) if n else st.sampled_from(odd))


@st.composite
def _field(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.sampled_from(_OTHERS))
    name = draw(st.sampled_from(_FRAMING))
    value = draw(st.sampled_from(_VALUES if b"ength" in name.lower() else _CODINGS))
    return draw(_rarely(b"%b:", _NAMES)) % name + draw(_rarely(b" ", [b"", b"\t", b"  ", b"\x0b", b"\xa0"])) + value


@st.composite
def _chunks(draw: st.DrawFn) -> bytes:
    out = b""
    for data in draw(st.lists(st.binary(min_size=1, max_size=5), max_size=3)):
        size = draw(_rarely(b"%x", _SIZES)) % len(data)
        out += size + draw(_rarely(b"\r\n", _ENDS)) + data + draw(_rarely(b"\r\n", _ENDS))
    out += draw(_rarely(b"0", [b"00", b"0 ", b"0;x", b"-0", b"", b"0\t"])) + draw(_rarely(b"\r\n", _ENDS))
    for trailer in draw(st.lists(_field(), max_size=1)):
        out += trailer + draw(_rarely(b"\r\n", _ENDS))
    return out + draw(_rarely(b"\r\n", _ENDS))


@st.composite
def _message(draw: st.DrawFn, answer: bool) -> bytes:
    if answer:
        first = draw(_rarely(b"HTTP/1.1 200 OK", _LINES, of=2))
        fields = []
    else:
        parts = (
            draw(_rarely(b"POST", _METHODS, of=3)),
            draw(_rarely(b"/", _TARGETS)),
            draw(_rarely(b"HTTP/1.1", _VERSIONS)),
        )
        first = draw(_rarely(b" ", [b"  ", b"\t", b"\r", b"\n", b"\x0b"], of=20)).join(parts)
        fields = [draw(_rarely(b"Host: a", [b"Host: b c", b"Host:", b"host : a", b"X: y"], of=20))]
    shape = draw(st.integers(0, 3))
    body = b""
    if shape == 1:
        body = draw(st.binary(max_size=6))
        fields.append(b"Content-Length: %d" % len(body))
    elif shape >= 2:
        body = draw(_chunks())
        fields.append(b"Transfer-Encoding: chunked")
    fields += draw(st.lists(_field(), max_size=2))
    fields = draw(st.permutations(fields))
    end = draw(_rarely(b"\r\n", _ENDS, of=30))
    return (
        first
        + end
        + b"".join(field + draw(_rarely(b"\r\n", _ENDS, of=20)) for field in fields)
        + draw(_rarely(b"\r\n", _ENDS, of=20))
        + body
    )


@st.composite
def _spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """Single bytes changed, put in or taken out."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        put = draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b" ", b"\t", b"\0", b":", b",", b";", b"\x0b", b"\x85", b"\xff", b"0", b"a", b"_"]
            )
        )
        data = data[:at] + put + data[at + draw(st.integers(0, 1)) :]
    return data


def requests() -> st.SearchStrategy[bytes]:
    """What a client sends on one connection."""
    return st.lists(_message(answer=False), min_size=1, max_size=3).map(b"".join).flatmap(_spoiled)


def answers() -> st.SearchStrategy[bytes]:
    """What an application writes to one request."""
    return st.lists(_message(answer=True), min_size=1, max_size=2).map(b"".join).flatmap(_spoiled)


def pieces(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in some pieces."""
    cuts = st.lists(st.integers(0, len(data)), max_size=3).map(lambda at: [0, *sorted(at), len(data)])
    return cuts.map(lambda at: [data[a:b] for a, b in itertools.pairwise(at) if a < b])
