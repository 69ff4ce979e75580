"""Bodies: every case, fed whole, byte by byte and in any split, ends in the same place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine_proxy.framing import ChunkedReader, CloseReader, LengthReader, Reader, chunk, last_chunk
from coalmine_proxy.head import Malformed
from coalmine_proxy.limits import DEFAULT

Outcome = tuple[str, bytes, bytes, bytes]


def feed(reader: Reader, pieces: list[bytes]) -> Outcome:
    """What comes of a body: how it ended, payload, trailers, and what is left for the next message."""
    payload = b""
    rest = b""
    for piece in pieces:
        if reader.done:
            rest += piece
            continue
        try:
            payload += reader.feed(piece)
        except Malformed as error:
            return (f"refused {error.status}", b"", b"", b"")
        rest += reader.rest
    return ("done" if reader.done else "open", payload, reader.trailers, rest)


CHUNKED: dict[str, tuple[bytes, Outcome]] = {
    "empty": (b"0\r\n\r\n", ("done", b"", b"", b"")),
    "one": (b"3\r\nabc\r\n0\r\n\r\n", ("done", b"abc", b"", b"")),
    "hexadecimal": (b"0A\r\n0123456789\r\n00\r\n\r\n", ("done", b"0123456789", b"", b"")),
    "two and the next message": (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\nGET /", ("done", b"abc", b"", b"GET /")),
    "line ends in the data": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", ("done", b"\r\n\r\n", b"", b"")),
    "extension": (b'1;a=b;c="d"\r\nx\r\n0;e\r\n\r\n', ("done", b"x", b"", b"")),
    "space before an extension": (b"1 ;a\r\nx\r\n0\r\n\r\n", ("done", b"x", b"", b"")),
    "trailers": (b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nz", ("done", b"x", b"A: b\r\nC: d\r\n", b"z")),
    "forbidden trailers": (b"0\r\nContent-Length: 5\r\nHost: x\r\nA: b\r\n\r\n", ("done", b"", b"A: b\r\n", b"")),
    "cut in the size": (b"3", ("open", b"", b"", b"")),
    "cut in the data": (b"3\r\nab", ("open", b"ab", b"", b"")),
    "cut in the trailers": (b"0\r\nA: b\r\n", ("open", b"", b"A: b\r\n", b"")),
}
REFUSED: dict[str, tuple[bytes, int]] = {
    "no size": (b"\r\nabc\r\n", 400),
    "signed": (b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "0x": (b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "underscore": (b"1_0\r\n", 400),
    "space before": (b" 3\r\nabc\r\n", 400),
    "space after": (b"3 \r\nabc\r\n", 400),
    "not hexadecimal": (b"g\r\n", 400),
    "too many digits": (b"0000000000000001\r\nx\r\n0\r\n\r\n", 400),
    "bare LF after the size": (b"3\nabc\r\n0\r\n\r\n", 400),
    "bare CR in the size": (b"3\rx\r\nabc", 400),
    "bare LF after the data": (b"3\r\nabc\n0\r\n\r\n", 400),
    "longer than its size": (b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "CR and no LF after the data": (b"3\r\nabc\rX\n", 400),
    "LF in an extension": (b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "CR in an extension": (b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
    "NUL in an extension": (b"3;a\0\r\nabc\r\n0\r\n\r\n", 400),
    "long extension": (b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "many extensions": ((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n", 400),
    "bare LF in the trailers": (b"0\r\nA: b\n\r\n", 400),
    "folded trailer": (b"0\r\nA: b\r\n c\r\n\r\n", 400),
    "trailer without colon": (b"0\r\nA\r\n\r\n", 400),
    "trailer with space before colon": (b"0\r\nA : b\r\n\r\n", 400),
    "large trailers": (b"0\r\n" + b"A: bbbbbbbbbbbbbbbbbbbbbb\r\n" * 400 + b"\r\n", 431),
}


def splits(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and cut once at every place."""
    once = [[data[:i], data[i:]] for i in range(1, min(len(data), 200))]
    return [[data], [data[i : i + 1] for i in range(len(data))], *once]


@pytest.mark.parametrize("case", CHUNKED)
def test_chunked(case: str) -> None:
    data, outcome = CHUNKED[case]
    for pieces in splits(data):
        assert feed(ChunkedReader(DEFAULT), pieces) == outcome


@pytest.mark.parametrize("case", REFUSED)
def test_chunked_refused(case: str) -> None:
    data, status = REFUSED[case]
    for pieces in splits(data):
        assert feed(ChunkedReader(DEFAULT), pieces)[0] == f"refused {status}"


@given(st.lists(st.binary(max_size=40)), st.binary(max_size=10), st.lists(st.integers(1, 30), min_size=1))
def test_our_own_chunks_are_read_back_in_any_split(payloads: list[bytes], rest: bytes, sizes: list[int]) -> None:
    data = b"".join(chunk(p) for p in payloads) + last_chunk(b"T: 1\r\n") + rest
    pieces = []
    at = i = 0
    while at < len(data):
        pieces.append(data[at : at + sizes[i % len(sizes)]])
        at += len(pieces[-1])
        i += 1
    assert feed(ChunkedReader(DEFAULT), pieces) == ("done", b"".join(payloads), b"T: 1\r\n", rest)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_length_ends_where_it_says(data: bytes, length: int) -> None:
    state = "done" if len(data) >= length else "open"
    for pieces in splits(data) if data else []:
        assert feed(LengthReader(length), pieces) == (state, data[:length], b"", data[length:])


def test_only_a_close_ends_a_body_without_a_length() -> None:
    reader = CloseReader()
    assert reader.feed(b"abc") == b"abc"
    assert not reader.done
    assert reader.end()
    assert not LengthReader(3).end()
    assert not ChunkedReader(DEFAULT).end()
