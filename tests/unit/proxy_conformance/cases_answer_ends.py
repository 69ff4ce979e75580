"""Answers without a body, 1xx before an answer, and upgrades."""

from __future__ import annotations

from wire_case import CLOSE, AnswerCase, Got, answer, get, head, post

HEAD = head("HEAD / HTTP/1.1", "Host: a")
OLD = head("GET / HTTP/1.0")
CHUNKED = "Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
UPGRADE = get("Connection: upgrade", "Upgrade: websocket")
SWITCH = "HTTP/1.1 101 Switching Protocols"


def other(
    name: str,
    source: str,
    written: bytes,
    expect: Got | int | str,
    then: str = "keep",
    asked: bytes = b"",
    reused: bool | None = None,
) -> AnswerCase:
    return AnswerCase(name, source, written, expect, then, asked or get(), reused)


CONN = "llhttp response/connection"
RFC = "RFC 9112 7"
HELLO_GOT = Got(body=b"hello")

CASES: list[AnswerCase] = [
    # --- no body ---
    other(
        "HEAD with a length",
        "RFC 9110 9.3.2",
        answer("Content-Length: 12"),
        Got(fields={"Content-Length": "12"}),
        asked=HEAD,
        reused=True,
    ),
    other("HEAD with chunks", "RFC 9110 9.3.2", answer(CHUNKED), Got(), asked=HEAD, reused=True),
    other("HEAD without framing", "RFC 9110 9.3.2", answer(), Got(), asked=HEAD),
    other(
        "HEAD with a body that must be dropped",
        "haproxy http_bodyless_response",
        answer("Content-Length: 12", body=b"skipped data"),
        Got(fields={"Content-Length": "12"}),
        asked=HEAD,
        reused=False,
    ),
    other(
        "HEAD with chunks that must be dropped",
        "haproxy http_bodyless_response",
        answer(CHUNKED, body=HELLO),
        Got(),
        asked=HEAD,
        reused=False,
    ),
    other(
        "HEAD answered 404",
        "RFC 9110 9.3.2",
        answer("Content-Length: 9", first="HTTP/1.1 404 Not Found"),
        Got(404),
        asked=HEAD,
    ),
    other("204", CONN, answer(first="HTTP/1.1 204 No content"), Got(204), reused=True),
    other(
        "204, and an answer nobody asked for",
        CONN,
        answer(first="HTTP/1.1 204 No content") + answer(),
        Got(204),
        reused=False,
    ),
    other(
        "204 in 1.0 with keep-alive",
        CONN,
        answer("Connection: keep-alive", first="HTTP/1.0 204 No content"),
        Got(204),
        reused=True,
    ),
    other(
        "204 and close",
        CONN,
        answer("Connection: close", first="HTTP/1.1 204 No content"),
        Got(204),
        CLOSE,
        reused=False,
    ),
    other(
        "204 with a length",
        "RFC 9110 8.6",
        answer("Content-Length: 5", first="HTTP/1.1 204 X", body=b"hello"),
        Got(204, fields={"Content-Length": None}),
        reused=False,
    ),
    other(
        "204 with chunks",
        "RFC 9112 6.1",
        answer(CHUNKED, first="HTTP/1.1 204 X", body=HELLO),
        Got(204, fields={"Transfer-Encoding": None}),
        reused=False,
    ),
    other(
        "304",
        "RFC 9110 15.4.5",
        answer('ETag: "x"', first="HTTP/1.1 304 Not Modified"),
        Got(304, fields={"ETag": '"x"'}),
        reused=True,
    ),
    other(
        "304 with a length",
        CONN,
        answer("Content-Length: 10", first="HTTP/1.1 304 Not Modified"),
        Got(304),
        reused=True,
    ),
    other("304 with a coding", CONN, answer(CHUNKED, first="HTTP/1.1 304 Not Modified"), Got(304), reused=True),
    other(
        "304 with a body",
        CONN,
        answer("Content-Length: 5", first="HTTP/1.1 304 Not Modified", body=b"hello"),
        Got(304),
        reused=False,
    ),
    other(
        "205 has framing", "RFC 9110 15.3.6", answer("Content-Length: 0", first="HTTP/1.1 205 X"), Got(205), reused=True
    ),
    # --- 1xx ---
    other(
        "100, then 404",
        CONN,
        answer(first="HTTP/1.1 100 Continue") + answer("Content-Length: 5", first="HTTP/1.1 404 X", body=b"hello"),
        Got(404, b"hello", interim=(100,)),
        asked=post("Expect: 100-continue", "Content-Length: 2", body=b"ab"),
    ),
    other(
        "103, then 200",
        CONN,
        answer("Link: </s.css>; rel=preload", first="HTTP/1.1 103 Early Hints")
        + answer("Content-Length: 5", body=b"hello"),
        Got(body=b"hello", interim=(103,)),
        reused=True,
    ),
    other(
        "100, 102, 103, 200",
        "RFC 9110 15.2",
        b"".join(answer(first=f"HTTP/1.1 {n} X") for n in (100, 102, 103)) + answer("Content-Length: 0"),
        Got(interim=(100, 102, 103)),
    ),
    other(
        "199 is a 1xx",
        "RFC 9110 15.2",
        answer(first="HTTP/1.1 199 X") + answer("Content-Length: 0"),
        Got(interim=(199,)),
    ),
    other(
        "a 1xx is not for a 1.0 client",
        "RFC 9110 15.2",
        answer(first="HTTP/1.1 103 X") + answer("Content-Length: 0"),
        Got(close=True),
        asked=OLD,
    ),
    other(
        "a 1xx with a length",
        "RFC 9110 8.6",
        answer("Content-Length: 5", first="HTTP/1.1 103 X") + answer("Content-Length: 0"),
        Got(interim=(103,)),
    ),
    other(
        "a 1xx with a coding",
        "RFC 9112 6.1",
        answer(CHUNKED, first="HTTP/1.1 103 X") + answer("Content-Length: 0"),
        Got(interim=(103,)),
    ),
    other("a 1xx and a close", "RFC 9110 15.2", answer(first="HTTP/1.1 103 X"), 502, CLOSE),
    other(
        "a 1xx that says close",
        "RFC 9110 15.2",
        answer("Connection: close", first="HTTP/1.1 103 X") + answer("Content-Length: 0"),
        Got(interim=(103,)),
    ),
    # --- upgrades ---
    other(
        "101",
        CONN,
        answer("Connection: upgrade", "Upgrade: websocket", first=SWITCH) + b"PONG",
        Got(101, fields={"Upgrade": "websocket", "Connection": "Upgrade"}, tunnel=b"PONG"),
        asked=UPGRADE,
    ),
    other(
        "101 with a length: what follows is the tunnel",
        CONN,
        answer("Connection: upgrade", "Upgrade: websocket", "Content-Length: 4", first=SWITCH) + b"bodyproto",
        Got(101, fields={"Content-Length": None}, tunnel=b"bodyproto"),
        asked=UPGRADE,
    ),
    other(
        "101 with a coding",
        CONN,
        answer("Connection: upgrade", "Upgrade: websocket", CHUNKED, first=SWITCH) + b"2\r\nbo\r\n",
        Got(101, fields={"Transfer-Encoding": None}, tunnel=b"2\r\nbo\r\n"),
        asked=UPGRADE,
    ),
    other(
        "101 to who did not ask",
        "haproxy websocket",
        answer("Connection: upgrade", "Upgrade: websocket", first=SWITCH),
        502,
    ),
    other("101 without Upgrade", "RFC 9110 15.2.2", answer("Connection: upgrade", first=SWITCH), 502, asked=UPGRADE),
    other(
        "101, then the application closes",
        CONN,
        answer("Connection: upgrade", "Upgrade: websocket", first=SWITCH) + b"BYE",
        Got(101, tunnel=b"BYE", close=True),
        CLOSE,
        asked=UPGRADE,
    ),
    other(
        "200 with Upgrade",
        CONN,
        answer("Connection: upgrade", "Upgrade: h2c", "Content-Length: 4", body=b"body"),
        Got(body=b"body", fields={"Upgrade": None, "Connection": None}),
        asked=UPGRADE,
    ),
    other(
        "200 with Upgrade, until close",
        CONN,
        answer("Connection: upgrade", "Upgrade: h2c", body=b"body"),
        Got(body=b"body"),
        CLOSE,
        asked=UPGRADE,
    ),
    other(
        "200 with Upgrade and chunks",
        CONN,
        answer("Connection: upgrade", "Upgrade: h2c", CHUNKED, body=HELLO),
        HELLO_GOT,
        asked=UPGRADE,
    ),
    other(
        "103, then 101",
        "RFC 9110 15.2",
        answer(first="HTTP/1.1 103 X") + answer("Connection: upgrade", "Upgrade: websocket", first=SWITCH),
        Got(101, interim=(103,)),
        asked=UPGRADE,
    ),
    other(
        "426",
        "RFC 9110 15.5.22",
        answer("Upgrade: TLS/1.0", "Connection: Upgrade", "Content-Length: 0", first="HTTP/1.1 426 X"),
        Got(426),
    ),
]
