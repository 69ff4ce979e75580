"""Heads: what is accepted, what is refused with which status, and what goes on."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine_proxy.answer import parse_response
from coalmine_proxy.forwarding import Origin, Trust
from coalmine_proxy.framing import CHUNKED, UNTIL_CLOSE
from coalmine_proxy.head import KINDS, Malformed
from coalmine_proxy.limits import DEFAULT
from coalmine_proxy.request import parse_request


def request(*lines: str, first: str = "GET / HTTP/1.1", host: bool = True) -> bytes:
    return "\r\n".join([first, *(["Host: a"] if host else []), *lines]).encode("latin-1")


REFUSED = {
    "space before colon": (request("Foo : b"), 400),
    "tab before colon": (request("Foo\t: b"), 400),
    "obs-fold": (request("Foo: b", " c"), 400),
    "obs-fold with tab": (request("Foo: b", "\tc"), 400),
    "fold before the first field": (request(" Foo: b", host=False), 400),
    "bare LF": (request("Foo: b\nBar: c"), 400),
    "bare CR": (request("Foo: b\rBar: c"), 400),
    "CR at the end": (request("Foo: b\r"), 400),
    "NUL": (request("Foo: b\0c"), 400),
    "control": (request("Foo: b\x01c"), 400),
    "DEL": (request("Foo: b\x7fc"), 400),
    "NUL in name": (request("Fo\0o: b"), 400),
    "no colon": (request("Foo"), 400),
    "no colon, known name": (request("Accept"), 400),
    "no colon, special name": (request("Upgrade"), 400),
    "empty name": (request(": b"), 400),
    "name with parenthesis": (request("Fo(o): b"), 400),
    "name with high byte": (request("Fo\xff: b"), 400),
    "no host": (request(host=False), 400),
    "two hosts": (request("Host: b"), 400),
    "two equal hosts": (request("Host: a"), 400),
    "host with a path": (request("Host: a/b", host=False), 400),
    "host with a space": (request("Host: a b", host=False), 400),
    "host with userinfo": (request("Host: u@a", host=False), 400),
    "TE and CL": (request("Transfer-Encoding: chunked", "Content-Length: 3"), 400),
    "CL and TE": (request("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    "CL differs": (request("Content-Length: 3", "Content-Length: 4"), 400),
    "CL twice": (request("Content-Length: 3", "Content-Length: 3"), 400),
    "CL list": (request("Content-Length: 3, 3"), 400),
    "CL plus": (request("Content-Length: +3"), 400),
    "CL minus": (request("Content-Length: -3"), 400),
    "CL hex": (request("Content-Length: 0x3"), 400),
    "CL underscore": (request("Content-Length: 1_0"), 400),
    "CL empty": (request("Content-Length:"), 400),
    "CL huge": (request("Content-Length: 9999999999999999999"), 400),
    "CL superscript": (request("Content-Length: \xb2"), 400),
    "TE unknown": (request("Transfer-Encoding: gzip, chunked"), 501),
    "TE identity": (request("Transfer-Encoding: identity"), 501),
    "TE xchunked": (request("Transfer-Encoding: xchunked"), 501),
    "TE chunked twice": (request("Transfer-Encoding: chunked, chunked"), 400),
    "TE chunked in two lines": (request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    "TE empty": (request("Transfer-Encoding:"), 400),
    "TE with vertical tab": (request("Transfer-Encoding: \x0bchunked"), 400),
    "TE in 1.0": (request("Transfer-Encoding: chunked", first="POST / HTTP/1.0"), 400),
    "too many fields": (request(*[f"F{i}: x" for i in range(100)]), 431),
    "line too long": (request(first="GET /" + "a" * 8192 + " HTTP/1.1"), 414),
    "CONNECT with a path": (request(first="CONNECT / HTTP/1.1"), 405),
    "CONNECT": (request(first="CONNECT a:80 HTTP/1.1"), 405),
    "HTTP/2.0": (request(first="PRI * HTTP/2.0", host=False), 505),
    "HTTP/1.10": (request(first="GET / HTTP/1.10"), 505),
    "HTTP/0.9": (request(first="GET /", host=False), 400),
    "lower-case http": (request(first="GET / http/1.1"), 400),
    "two spaces": (request(first="GET  / HTTP/1.1"), 400),
    "space at the end": (request(first="GET / HTTP/1.1 "), 400),
    "tab as space": (request(first="GET\t/ HTTP/1.1"), 400),
    "target with a space": (request(first="GET /a b HTTP/1.1"), 400),
    "target with a fragment": (request(first="GET /a#b HTTP/1.1"), 400),
    "target with a high byte": (request(first="GET /\xe4 HTTP/1.1"), 400),
    "target without slash": (request(first="GET a HTTP/1.1"), 400),
    "asterisk for GET": (request(first="GET * HTTP/1.1"), 400),
    "method with a slash": (request(first="GE/T / HTTP/1.1"), 400),
    "ftp": (request(first="GET ftp://a/ HTTP/1.1"), 400),
    "userinfo in the target": (request(first="GET http://u@a/ HTTP/1.1"), 400),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("remembered", [False, True])
def test_refused(case: str, remembered: bool) -> None:
    block, status = REFUSED[case]
    if not remembered:
        KINDS.clear()
    for _ in range(2):  # what was refused once is not remembered as good
        with pytest.raises(Malformed) as caught:
            parse_request(block, DEFAULT)
        assert caught.value.status == status
        assert str(caught.value).endswith(".")


def forwarded(block: bytes, trusted: bool = True) -> list[str]:
    origin = Origin(b"10.0.0.9", trusted, lambda: b"10.0.0.1:80")
    return parse_request(block, DEFAULT).forward(origin).decode("latin-1").split("\r\n")[:-2]


ADDED = ["X-Forwarded-For: 10.0.0.9", "X-Forwarded-Proto: http", "Via: 1.1 coalmine", "X-Forwarded-Host: a"]

FORWARDED = {
    "plain": (request("foo:bar", "X-A:  b "), ["GET / HTTP/1.1", "Host: a", "foo:bar", "X-A:  b ", *ADDED]),
    "obs-text": (request("Foo: \xe4"), ["GET / HTTP/1.1", "Host: a", "Foo: \xe4", *ADDED]),
    "empty value": (request("Foo:"), ["GET / HTTP/1.1", "Host: a", "Foo:", *ADDED]),
    "minor version": (request(first="GET / HTTP/1.7"), ["GET / HTTP/1.1", "Host: a", *ADDED]),
    "hop-by-hop": (
        request("Connection: close, X-Secret", "Keep-Alive: 5", "Proxy-Connection: x", "x-secret: 1", "Upgrade: w"),
        ["GET / HTTP/1.1", "Host: a", *ADDED],
    ),
    "Connection names Host and Content-Length": (
        request("Connection: host, content-length", "Content-Length: 0"),
        ["GET / HTTP/1.1", "Host: a", "Content-Length: 0", *ADDED],
    ),
    "Content-Length in our own words": (
        request("Content-Length:\t0005\t "),
        ["GET / HTTP/1.1", "Host: a", "Content-Length: 5", *ADDED],
    ),
    "TE": (request("TE: gzip"), ["GET / HTTP/1.1", "Host: a", *ADDED]),
    "TE trailers": (
        request("TE: gzip, trailers"),
        ["GET / HTTP/1.1", "Host: a", *ADDED, "Connection: TE", "TE: trailers"],
    ),
    "chunked": (
        request("transfer-encoding: Chunked"),
        ["GET / HTTP/1.1", "Host: a", *ADDED, "Transfer-Encoding: chunked"],
    ),
    "forwarded before": (
        request("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2", "X-Forwarded-Proto: https", "Via: 1.0 x"),
        [
            "GET / HTTP/1.1",
            "Host: a",
            "Via: 1.0 x",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9",
            "X-Forwarded-Proto: https",
            "Via: 1.1 coalmine",
            "X-Forwarded-Host: a",
        ],
    ),
    "Connection names what we add": (
        request("Connection: x-forwarded-for, x-forwarded-proto", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: q"),
        ["GET / HTTP/1.1", "Host: a", *ADDED],
    ),
    "1.0 without host": (
        request("Expect: 100-continue", first="GET / HTTP/1.0", host=False),
        ["GET / HTTP/1.1", "Host: 10.0.0.1:80", *ADDED[:3], "X-Forwarded-Host: 10.0.0.1:80"],
    ),
    "expect": (
        request("Expect: 100-continue", "Content-Length: 1"),
        ["GET / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 1", *ADDED],
    ),
    "absolute": (
        request(first="GET HTTP://b.c:8/x?y HTTP/1.1"),
        ["GET /x?y HTTP/1.1", "Host: b.c:8", *ADDED[:3], "X-Forwarded-Host: b.c:8"],
    ),
    "absolute without path": (
        request(first="OPTIONS http://b HTTP/1.1"),
        ["OPTIONS * HTTP/1.1", "Host: b", *ADDED[:3], "X-Forwarded-Host: b"],
    ),
    "asterisk": (request(first="OPTIONS * HTTP/1.1"), ["OPTIONS * HTTP/1.1", "Host: a", *ADDED]),
    "upgrade": (
        request("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
        ["GET / HTTP/1.1", "Host: a", "Sec-WebSocket-Key: x", *ADDED, "Connection: Upgrade", "Upgrade: websocket"],
    ),
    "upgrade to h2c": (
        request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"),
        ["GET / HTTP/1.1", "Host: a", *ADDED],
    ),
    "upgrade with a body": (
        request("Connection: upgrade", "Upgrade: websocket", "Content-Length: 3"),
        ["GET / HTTP/1.1", "Host: a", "Content-Length: 3", *ADDED],
    ),
}


@pytest.mark.parametrize("case", FORWARDED)
def test_forwarded(case: str) -> None:
    block, lines = FORWARDED[case]
    assert forwarded(block) == lines
    assert forwarded(block) == lines  # and so with every line remembered


def test_whose_word_is_believed() -> None:
    """What an untrusted client says about those before it is replaced; ours stays."""
    said = ("X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: bank", "Forwarded: for=1.1.1.1")
    block = request(*said, "X-Real-IP: 1.1.1.1")
    assert forwarded(block, trusted=False) == ["GET / HTTP/1.1", "Host: a", *ADDED]
    believed = forwarded(block)
    assert "X-Forwarded-For: 1.1.1.1, 10.0.0.9" in believed
    assert {*said[1:], "X-Real-IP: 1.1.1.1"} < set(believed)
    assert ADDED[1] not in believed
    assert ADDED[3] not in believed


TRUST = [
    (None, "10.0.0.9", True),
    (None, "unknown", True),
    ((), "10.0.0.9", False),
    (("10.0.0.0/8", "fd00::/8"), "10.0.0.9", True),
    (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
    (("10.0.0.0/8", "fd00::/8"), "11.0.0.9", False),
    (("10.0.0.0/8",), "unknown", False),
]


@pytest.mark.parametrize(("networks", "address", "trusted"), TRUST)
def test_who_is_trusted(networks: tuple[str, ...] | None, address: str, trusted: bool) -> None:
    trust = Trust(None if networks is None else [ipaddress.ip_network(n) for n in networks])
    assert trust(address) is trusted


ALIASES = ["Content_Length: 5", "Transfer_Encoding: chunked", "X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6"]


@pytest.mark.parametrize("line", ALIASES)
def test_a_name_that_others_read_as_one_that_counts_does_not_go_on(line: str) -> None:
    assert forwarded(request(line, "My_Own: 1")) == ["GET / HTTP/1.1", "Host: a", "My_Own: 1", *ADDED]


def test_a_client_of_1_0_keeps_its_connection_only_when_it_says_so() -> None:
    assert parse_request(request(), DEFAULT).keep_alive
    assert not parse_request(request("Connection: close"), DEFAULT).keep_alive
    assert not parse_request(request(first="GET / HTTP/1.0"), DEFAULT).keep_alive
    assert parse_request(request("Connection: Keep-Alive", first="GET / HTTP/1.0"), DEFAULT).keep_alive
    assert not parse_request(request("Connection: keep-alive, close", first="GET / HTTP/1.0"), DEFAULT).keep_alive


def test_the_pin_is_read_whatever_its_case() -> None:
    assert parse_request(request("Coalmine-Version: CANARY "), DEFAULT).pin == b"canary"


def test_what_is_remembered_is_bounded() -> None:
    for i in range(10_000):
        parse_request(request(f"X-{i}: v", first=f"GET /{i} HTTP/1.1"), DEFAULT)
    assert len(KINDS) <= 4096


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(junk: bytes) -> None:
    for block in (junk, b"GET / HTTP/1.1\r\nHost: a\r\n" + junk, b"GET " + junk + b" HTTP/1.1\r\nHost: a"):
        try:
            out = parse_request(block, DEFAULT).forward(Origin(b"1.1.1.1", True, lambda: b"x"))
        except Malformed:
            continue
        # One head comes out, and no bare line end within it.
        assert out.endswith(b"\r\n\r\n")
        assert out.count(b"\r\n\r\n") == 1
        assert out.count(b"\n") == out.count(b"\r") == out.count(b"\r\n")


# --- answers -------------------------------------------------------------------------------------


def answer(*lines: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([first, *lines]).encode("latin-1")


FRAMED = {
    "length": (answer("Content-Length: 7"), "GET", 7, True),
    "no length": (answer(), "GET", UNTIL_CLOSE, False),
    "chunked": (answer("Transfer-Encoding: chunked"), "GET", CHUNKED, True),
    "head": (answer("Content-Length: 7"), "HEAD", 0, True),
    "head chunked": (answer("Transfer-Encoding: chunked"), "HEAD", 0, True),
    "204": (answer("Content-Length: 7", first="HTTP/1.1 204 No"), "GET", 0, True),
    "204 chunked": (answer("Transfer-Encoding: chunked", first="HTTP/1.1 204 No"), "GET", 0, True),
    "304": (answer("Content-Length: 7", first="HTTP/1.1 304 Same"), "GET", 0, True),
    "100": (answer(first="HTTP/1.1 100 Continue"), "GET", 0, True),
    "close": (answer("Content-Length: 1", "Connection: close"), "GET", 1, False),
    "1.0": (answer("Content-Length: 1", first="HTTP/1.0 200 OK"), "GET", 1, False),
    "1.0 kept": (answer("Content-Length: 1", "Connection: keep-alive", first="HTTP/1.0 200 OK"), "GET", 1, True),
    "no reason": (answer("Content-Length: 0", first="HTTP/1.1 200"), "GET", 0, True),
}


@pytest.mark.parametrize("case", FRAMED)
def test_how_an_answer_is_framed(case: str) -> None:
    block, method, length, keep_alive = FRAMED[case]
    response = parse_response(block, method.encode(), DEFAULT)
    assert (response.length, response.keep_alive) == (length, keep_alive)


INVALID = {
    "CL differs": answer("Content-Length: 1", "Content-Length: 2"),
    "CL list": answer("Content-Length: 1, 1"),
    "CL signed": answer("Content-Length: +1"),
    "TE and CL": answer("Content-Length: 1", "Transfer-Encoding: chunked"),
    "TE unknown": answer("Transfer-Encoding: gzip"),
    "TE in 1.0": answer("Transfer-Encoding: chunked", first="HTTP/1.0 200 OK"),
    "status of two digits": answer(first="HTTP/1.1 20 OK"),
    "status 099": answer(first="HTTP/1.1 099 OK"),
    "HTTP/2": answer(first="HTTP/2.0 200 OK"),
    "no HTTP": answer(first="SSH-2.0-OpenSSH"),
    "fold": answer("Foo: a", " b"),
    "bare LF": answer("Foo: a\nBar: b"),
    "NUL": answer("Foo: a\0"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_answer_that_is_not_http(case: str) -> None:
    with pytest.raises(Malformed):
        parse_response(INVALID[case], b"GET", DEFAULT)


def test_an_answer_goes_on_without_its_hop_by_hop_lines() -> None:
    block = answer(
        "A : 1", "Connection: X-B, close", "X-B: 2", "Keep-Alive: 5", "Set-Cookie: c", first="HTTP/1.0 201 Y"
    )
    response = parse_response(block, b"GET", DEFAULT)
    assert not response.whole
    assert response.forward() == [b"HTTP/1.1 201 Y", b"A: 1", b"Set-Cookie: c"]
    assert response.close
