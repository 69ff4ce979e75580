"""Answers: where the body ends: lengths, chunks, codings, and the close of the connection."""

from __future__ import annotations

from wire_case import ABORTED, BROKEN, CLOSE, RESET, AnswerCase, Got, answer, get, head

HEAD = head("HEAD / HTTP/1.1", "Host: a")
OLD = head("GET / HTTP/1.0")
OLD_KEPT = head("GET / HTTP/1.0", "Connection: keep-alive")
CHUNKED = "Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def chunks(name: str, source: str, body: bytes, expect: Got | int | str, then: str = "keep") -> AnswerCase:
    return AnswerCase(name, source, answer(CHUNKED, body=body), expect, then)


def length(
    name: str, source: str, value: str, expect: Got | int | str, body: bytes = b"hello", then: str = "keep"
) -> AnswerCase:
    return AnswerCase(name, source, answer(f"Content-Length: {value}", body=body), expect, then)


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


LENGTH, CODING, CONN = "RFC 9112 6.3", "llhttp response/transfer-encoding", "llhttp response/connection"
RFC = "RFC 9112 7"
HELLO_GOT = Got(body=b"hello")

CASES: list[AnswerCase] = [
    # --- Content-Length ---
    length("a length", LENGTH, "5", Got(body=b"hello", fields={"Content-Length": "5", "Transfer-Encoding": None})),
    length(
        "tabs around a length",
        "llhttp response/content-length",
        "\t5\t",
        Got(body=b"hello", fields={"Content-Length": "5"}),
    ),
    length("spaces around a length", "llhttp response/sample", "  5  ", HELLO_GOT),
    length("leading noughts", LENGTH, "005", Got(body=b"hello", fields={"Content-Length": "5"})),
    length("a plus sign", LENGTH, "+5", 502),
    length("a minus sign", LENGTH, "-5", 502),
    length("empty", LENGTH, "", 502),
    length("letters", LENGTH, "five", 502),
    length("a list", LENGTH, "5, 5", 502),
    length("hexadecimal", LENGTH, "0x5", 502),
    length("far too many digits", LENGTH, "10000000000000000000000", 502),
    length("too short a body", LENGTH, "6", ABORTED, then=CLOSE),
    length("too short a body, reset", LENGTH, "6", ABORTED, then=RESET),
    length("no body at all", LENGTH, "5", ABORTED, body=b"", then=CLOSE),
    length("too long a body: its rest is nobody's", CONN, "5", HELLO_GOT, body=b"hello2ad731e3"),
    other("twice, different", LENGTH, answer("Content-Length: 5", "Content-Length: 6", body=b"hello!"), 502),
    other("twice the same", LENGTH, answer("Content-Length: 5", "Content-Length: 5", body=b"hello"), 502),
    other(
        "a length, and close",
        LENGTH,
        answer("Content-Length: 5", "Connection: close", body=b"hello"),
        HELLO_GOT,
        CLOSE,
        reused=False,
    ),
    other("the connection is used again", LENGTH, answer("Content-Length: 5", body=b"hello"), HELLO_GOT, reused=True),
    other("not after too long a body", LENGTH, answer("Content-Length: 5", body=b"hello!"), HELLO_GOT, reused=False),
    other(
        "not in HTTP/1.0",
        LENGTH,
        answer("Content-Length: 5", first="HTTP/1.0 200 OK", body=b"hello"),
        HELLO_GOT,
        reused=False,
    ),
    other(
        "in HTTP/1.0 with keep-alive",
        "llhttp response/sample",
        answer("Content-Length: 5", "Connection: keep-alive", first="HTTP/1.0 200 OK", body=b"hello"),
        HELLO_GOT,
        reused=True,
    ),
    other(
        "a second answer that nobody asked for",
        "llhttp response/pipelining",
        answer("Content-Length: 3", body=b"AAA") + answer("Content-Length: 4", body=b"BBBB"),
        Got(body=b"AAA"),
        reused=False,
    ),
    other(
        "Content-Length-X is another name",
        "llhttp response/content-length",
        answer("Content-Length-X: 0", CHUNKED, body=b"2\r\nOK\r\n0\r\n\r\n"),
        Got(body=b"OK", fields={"Content-Length-X": "0"}),
    ),
    other(
        "to a 1.0 client", LENGTH, answer("Content-Length: 5", body=b"hello"), Got(body=b"hello", close=True), asked=OLD
    ),
    other(
        "to a 1.0 client that keeps its connection",
        LENGTH,
        answer("Content-Length: 5", body=b"hello"),
        Got(body=b"hello", fields={"Connection": "keep-alive"}),
        asked=OLD_KEPT,
    ),
    # --- chunks ---
    chunks("chunks", RFC, HELLO, Got(body=b"hello", fields={"Transfer-Encoding": "chunked", "Content-Length": None})),
    chunks("no chunk but the last", RFC, b"0\r\n\r\n", Got()),
    chunks("extensions", CODING, b"5;i;s=a\r\nhello\r\n6;b;b\r\n world\r\n0\r\n\r\n", Got(body=b"hello world")),
    chunks("quoted extensions", CODING, b'5;i="I l; e";s="a";b;f=b\r\nhello\r\n0\r\n\r\n', HELLO_GOT),
    chunks("a quote that is not closed", CODING, b'5;i="abc";s="def; ghi\r\nhello\r\n0\r\n\r\n', HELLO_GOT),
    chunks("a space after a size", CODING, b"5  \r\nhello\r\n0\r\n\r\n", BROKEN),
    chunks("a space after the last size", CODING, b"5\r\nhello\r\n0  \r\n\r\n", BROKEN),
    chunks("no semicolon before an extension", CODING, b"2 erf\r\naa\r\n0 rrrr\r\n\r\n", BROKEN),
    chunks("a semicolon and no extension", CODING, b"2;\r\naa\r\n0\r\n\r\n", Got(body=b"aa")),
    chunks("not a size", RFC, b"xyz\r\nhello\r\n0\r\n\r\n", BROKEN),
    chunks("a sign", RFC, b"+5\r\nhello\r\n0\r\n\r\n", BROKEN),
    chunks("0x", RFC, b"0x5\r\nhello\r\n0\r\n\r\n", BROKEN),
    chunks("LF", RFC, b"5\nhello\n0\n\n", BROKEN),
    chunks("too long a chunk", RFC, b"5\r\nhello!\r\n0\r\n\r\n", BROKEN),
    chunks("a size that overflows", RFC, b"ffffffffffffffffff\r\nhello\r\n", BROKEN),
    chunks("no last chunk, and a close", RFC, b"5\r\nhello\r\n", ABORTED, CLOSE),
    chunks("half a chunk, and a close", RFC, b"5\r\nhel", ABORTED, CLOSE),
    chunks("no chunk at all, and a close", RFC, b"", ABORTED, CLOSE),
    chunks("no empty line after the last chunk, and a close", RFC, b"5\r\nhello\r\n0\r\n", ABORTED, CLOSE),
    chunks("the same, and a reset", RFC, b"5\r\nhello\r\n0\r\n", ABORTED, RESET),
    chunks("trailers", RFC, b"5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n", Got(body=b"hello", trailers={"x-sum": "9"})),
    chunks(
        "framing in trailers is dropped",
        RFC,
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nX: 1\r\n\r\n",
        Got(body=b"hello", trailers={"x": "1"}),
    ),
    chunks("a bad trailer", RFC, b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n", BROKEN),
    chunks("bytes after the last chunk", RFC, HELLO + b"more", HELLO_GOT),
    other("chunks, reused", RFC, answer(CHUNKED, body=HELLO), HELLO_GOT, reused=True),
    other("chunks and bytes after them, not reused", RFC, answer(CHUNKED, body=HELLO + b"x"), HELLO_GOT, reused=False),
    other(
        "chunks to a 1.0 client end with the connection",
        RFC,
        answer(CHUNKED, body=HELLO),
        Got(body=b"hello", fields={"Transfer-Encoding": None}, close=True),
        asked=OLD,
    ),
    other(
        "the same to one that would keep it",
        RFC,
        answer(CHUNKED, body=HELLO),
        Got(body=b"hello", fields={"Transfer-Encoding": None}, close=True),
        asked=OLD_KEPT,
    ),
    other("truncated chunks to a 1.0 client", RFC, answer(CHUNKED, body=b"5\r\nhello\r\n"), ABORTED, CLOSE, asked=OLD),
    # --- transfer codings ---
    *[
        other(f"Transfer-Encoding: {value}", CODING, answer(f"Transfer-Encoding: {value}", body=HELLO), 502, CLOSE)
        for value in (
            "chunked, deflate",
            "chunkedchunked",
            "gzip, chunked",
            "gzip",
            "identity",
            "",
            "xchunked",
            "chunked;a",
            "chunked,",
            ", chunked",
        )
    ],
    other("chunked, then identity", CODING, answer(CHUNKED, "Transfer-Encoding: identity", body=HELLO), 502, CLOSE),
    other("a fold after chunked", CODING, answer(CHUNKED, "  abc", body=HELLO), 502),
    *[
        other(
            f"haproxy: {value}",
            "haproxy http_transfer_encoding",
            answer(f"Transfer-Encoding: {value}", body=b"0\r\n\r\n"),
            502,
        )
        for value in ("chunked, chunked", "chunked, gzip, chunked", "chunked, gzip")
    ],
    other(
        "chunks in 1.0",
        "haproxy http_transfer_encoding",
        answer(CHUNKED, first="HTTP/1.0 200 Ok", body=b"0\r\n\r\n"),
        502,
    ),
    other(
        "chunks beside a length",
        "haproxy http_transfer_encoding",
        answer(CHUNKED, "Content-Length: 30", body=b"0\r\n\r\nResponse splitting attach"),
        502,
    ),
    # --- until the connection closes ---
    other(
        "until close",
        CONN,
        answer(body=b"hello world"),
        Got(body=b"hello world", fields={"Transfer-Encoding": "chunked"}),
        CLOSE,
    ),
    other(
        "until close, and close said",
        "llhttp response/content-length",
        answer("Connection: close", body=b"<?xml?>"),
        Got(body=b"<?xml?>"),
        CLOSE,
    ),
    other("until close, nothing", "llhttp response/finish", answer(), Got(), CLOSE),
    other(
        "until close in 1.0",
        CONN,
        answer("Connection: keep-alive", first="HTTP/1.0 200 OK", body=b"HTTP/1.0 200 OK\r\n\r\n"),
        Got(body=b"HTTP/1.0 200 OK\r\n\r\n"),
        CLOSE,
    ),
    other("what looks like an answer in it", CONN, answer(body=answer()), Got(body=answer()), CLOSE),
    other("until a reset is not until a close", LENGTH, answer(body=b"hello"), ABORTED, RESET),
    other(
        "until close, to a 1.0 client",
        LENGTH,
        answer(body=b"hello"),
        Got(body=b"hello", close=True, fields={"Transfer-Encoding": None}),
        CLOSE,
        asked=OLD,
    ),
    other("until a reset, to a 1.0 client", LENGTH, answer(body=b"hello"), ABORTED, RESET, asked=OLD),
    other("404 without framing", "llhttp response/sample", answer(first="HTTP/1.1 404 Not Found"), Got(404), CLOSE),
]
