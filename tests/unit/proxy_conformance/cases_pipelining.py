"""Several requests on one connection: where each begins, and what follows a refusal."""

from __future__ import annotations

from wire_case import RequestCase, Seen, chunked, get, head, post, requests_of

CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        ("018 two at once", get(target="/1") + get(target="/2"), (Seen("GET", "/1"), Seen("GET", "/2"))),
        (
            "pp_02 a body, then chunks",
            post("Content-Length: 2", body=b"{}") + chunked(b"3\r\nabc\r\n0\r\n\r\n"),
            (Seen("POST", body=b"{}"), Seen("POST", body=b"abc")),
        ),
    ),
    *requests_of(
        "llhttp request/pipelining, connection",
        (
            "three with bodies",
            post("Content-Length: 3", body=b"AAA")
            + head("PUT /b HTTP/1.1", "Host: a", "Content-Length: 4")
            + b"BBBB"
            + head("PATCH /c HTTP/1.1", "Host: a", "Content-Length: 5")
            + b"CCCCC",
            (Seen("POST", body=b"AAA"), Seen("PUT", "/b", b"BBBB"), Seen("PATCH", "/c", b"CCCCC")),
        ),
        (
            "CRLF between two",
            post("Content-Length: 4", body=b"q=42") + b"\r\n" + get(),
            (Seen("POST", body=b"q=42"), Seen()),
        ),
        ("LF between two", post("Content-Length: 4", body=b"q=42") + b"\n" + get(), (Seen("POST", body=b"q=42"), 400)),
        (
            "CRLF between two, and close",
            post("Content-Length: 4", "Connection: close", body=b"q=42") + b"\r\n" + get(),
            Seen("POST", body=b"q=42", close=True),
        ),
    ),
    *requests_of(
        "RFC 9112 9.3",
        (
            "five at once",
            b"".join(get(target=f"/{i}") for i in range(5)),
            tuple(Seen("GET", f"/{i}") for i in range(5)),
        ),
        (
            "HEAD, GET, HEAD",
            head("HEAD /1 HTTP/1.1", "Host: a") + get(target="/2") + head("HEAD /3 HTTP/1.1", "Host: a"),
            (Seen("HEAD", "/1"), Seen("GET", "/2"), Seen("HEAD", "/3")),
        ),
        (
            "good, bad, good: the last is not read",
            get(target="/1") + get("X : y") + get(target="/3"),
            (Seen("GET", "/1"), 400),
        ),
        ("good, and a beginning", get(target="/1") + b"GET /2 HT", Seen("GET", "/1")),
        (
            "close in the second of three",
            get(target="/1") + get("Connection: close", target="/2") + get(target="/3"),
            (Seen("GET", "/1"), Seen("GET", "/2", close=True)),
        ),
        (
            "1.0 in the middle",
            get(target="/1") + head("GET /2 HTTP/1.0") + get(target="/3"),
            (Seen("GET", "/1"), Seen("GET", "/2", close=True)),
        ),
        ("a chunk that is too long, and a request in it", chunked(b"3\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (
            "a body that looks like a request, with a length",
            post("Content-Length: 18", body=b"GET / HTTP/1.1\r\n\r\n") + get(),
            (Seen("POST", body=b"GET / HTTP/1.1\r\n\r\n"), Seen()),
        ),
        (
            "bytes too many after a body",
            post("Content-Length: 1", body=b"ab") + get(),
            (Seen("POST", body=b"a"), Seen("bGET")),
        ),
        ("a bad body after a good request", get(target="/1") + chunked(b"x\r\n"), (Seen("GET", "/1"), 400)),
        (
            "different Hosts on one connection",
            get(host="a") + get(host="b"),
            (Seen(fields={"Host": "a"}), Seen(fields={"Host": "b"})),
        ),
        (
            "CONNECT ends it",
            get(target="/1") + head("CONNECT a:1 HTTP/1.1", "Host: a") + get(target="/3"),
            (Seen("GET", "/1"), 405),
        ),
        (
            "HTTP/2's preface after a request",
            get(target="/1") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            (Seen("GET", "/1"), 505),
        ),
    ),
    *requests_of(
        "llhttp request/connection",
        (
            "two CRLF between two",
            post("Content-Length: 4", body=b"q=42") + b"\r\n\r\n" + get(),
            (Seen("POST", body=b"q=42"), Seen()),
        ),
    ),
]
