"""What belongs to one hop only: Connection and what it names, TE, Upgrade, Expect; and what a proxy adds."""

from __future__ import annotations

from wire_case import RequestCase, Seen, get, head, post, requests_of

ADDED: dict[str, str | None] = {
    "X-Forwarded-For": "10.0.0.9",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "a",
    "Via": "1.1 coalmine",
}

CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        (
            "003 Keep-Alive and Connection: keep-alive",
            get("Keep-Alive: 300", "Connection: keep-alive"),
            Seen(fields={"Keep-Alive": None}),
        ),
        (
            "021 Connection: Close, and a request after it that nobody gets",
            get("Connection: Close") + get(target="/2"),
            Seen(close=True, fields={"Connection": None}),
        ),
        (
            "022 keep-alive in 1.0, and a request after it",
            head("GET /1 HTTP/1.0", "Connection: Keep-Alive") + get(target="/2"),
            (Seen("GET", "/1"), Seen("GET", "/2")),
        ),
        (
            "019 1.0 ends the connection: the second request is not read",
            head("GET /1 HTTP/1.0") + get(target="/2"),
            Seen("GET", "/1", close=True),
        ),
    ),
    *requests_of(
        "llhttp request/connection",
        (
            "keep-alive twice",
            get("Connection: keep-alive") + get("Connection: keep-alive", target="/2"),
            (Seen(), Seen("GET", "/2")),
        ),
        ("close and a tab", get("Connection: close\t"), Seen(close=True)),
        (
            "PUT in 1.0, then another",
            head("PUT /u HTTP/1.0") + head("PUT /u HTTP/1.1", "Host: a"),
            Seen("PUT", "/u", close=True),
        ),
        (
            "an empty member, and a fold",
            get("Connection: Something,", " Upgrade, ,Keep-Alive", "Upgrade: WebSocket"),
            400,
        ),
        (
            "a space before the colon",
            post("Connection : upgrade", "Content-Length: 4", "Upgrade: ws", body=b"abcd"),
            400,
        ),
        (
            "an upgrade with a body is no upgrade",
            post("Connection: upgrade", "Content-Length: 4", "Upgrade: ws", body=b"abcd"),
            Seen("POST", body=b"abcd", fields={"Upgrade": None, "Connection": None}),
        ),
        (
            "an upgrade to HTTP/2.0 with a body",
            post("Connection: Upgrade", "Upgrade: HTTP/2.0", "Content-Length: 2", body=b"ab"),
            Seen("POST", body=b"ab", fields={"Upgrade": None}),
        ),
    ),
    *requests_of(
        "haproxy protocol_upgrade, websocket",
        (
            "an upgrade that is declined with 200",
            get("Connection: upgrade", "Upgrade: custom_protocol"),
            Seen(fields={"Upgrade": "custom_protocol", "Connection": "Upgrade"}),
        ),
        (
            "h2c is not asked for",
            get("Connection: upgrade", "Upgrade: h2c"),
            Seen(fields={"Upgrade": None, "Connection": None}),
        ),
        (
            "the key of a WebSocket goes on",
            get("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhl=="),
            Seen(fields={"Upgrade": "websocket", "Sec-WebSocket-Key": "dGhl=="}),
        ),
    ),
    *requests_of(
        "RFC 9110 7.6.1",
        (
            "Connection names a field",
            get("Connection: X-Secret", "X-Secret: 1", "X-Other: 2"),
            Seen(fields={"X-Secret": None, "X-Other": "2", "Connection": None}),
        ),
        (
            "it is named before or after, in any capitals",
            get("x-secret: 1", "Connection: keep-alive, X-SECRET", "X-Secret: 2"),
            Seen(fields={"X-Secret": None}),
        ),
        (
            "Connection in two lines",
            get("Connection: X-A", "Connection: X-B", "X-A: 1", "X-B: 2"),
            Seen(fields={"X-A": None, "X-B": None}),
        ),
        ("Connection names Host", get("Connection: host"), Seen(fields={"Host": "a"})),
        ("empty members", get("Connection: , ,X-A,,", "X-A: 1"), Seen(fields={"X-A": None})),
        ("an empty Connection", get("Connection:"), Seen(fields={"Connection": None})),
        ("close and keep-alive: close", get("Connection: keep-alive, close"), Seen(close=True)),
        ("Proxy-Connection", get("Proxy-Connection: keep-alive"), Seen(fields={"Proxy-Connection": None})),
        ("Proxy-Connection: close does not close", get("Proxy-Connection: close"), Seen()),
        ("Connection: close in 1.0", head("GET / HTTP/1.0", "Connection: close"), Seen(close=True)),
        (
            "HTTP2-Settings",
            get("Connection: HTTP2-Settings", "HTTP2-Settings: AAMAAABkAA"),
            Seen(fields={"HTTP2-Settings": None}),
        ),
        ("TE without Connection", get("TE: trailers"), Seen(fields={"TE": "trailers", "Connection": "TE"})),
        ("TE with another coding", get("TE: deflate", "Connection: TE"), Seen(fields={"TE": None, "Connection": None})),
        ("Upgrade without Connection", get("Upgrade: websocket"), Seen(fields={"Upgrade": None})),
        (
            "Upgrade in 1.0",
            head("GET / HTTP/1.0", "Connection: upgrade", "Upgrade: websocket"),
            Seen(fields={"Upgrade": None}, close=True),
        ),
        (
            "Connection names a field that a proxy adds",
            get("Connection: x-forwarded-for", "X-Forwarded-For: 6.6.6.6"),
            Seen(fields=ADDED),
        ),
        ("Connection names a cookie: dropped", get("Connection: cookie", "Cookie: a=b"), Seen(fields={"Cookie": None})),
        ("Trailer goes on", get("Trailer: X"), Seen(fields={"Trailer": "X"})),
        (
            "Proxy-Authorization is for the application, who knows",
            get("Proxy-Authorization: basic aGVsbG8="),
            Seen(fields={"Proxy-Authorization": "basic aGVsbG8="}),
        ),
    ),
    *requests_of(
        "RFC 9110 10.1.1",
        (
            "Expect goes on",
            post("Expect: 100-continue", "Content-Length: 3", body=b"abc"),
            Seen("POST", body=b"abc", fields={"Expect": "100-continue"}),
        ),
        (
            "Expect in 1.0 does not",
            head("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 3") + b"abc",
            Seen("POST", body=b"abc", fields={"Expect": None}, close=True),
        ),
        ("Expect without a body", get("Expect: 100-continue"), Seen()),
    ),
    *requests_of(
        "h1spec",
        ("Expect of GET", get("Expect: 100-continue"), Seen(fields={"Expect": "100-continue"})),
    ),
    *requests_of(
        "RFC 9110 7.6.3, and what every reverse proxy adds",
        ("added", get(), Seen(fields=ADDED)),
        ("Via of those before", get("Via: 1.0 fred"), Seen(fields={"Via": "1.0 fred\n1.1 coalmine"})),
    ),
]
