"""Content-Length in requests."""

from __future__ import annotations

from wire_case import RequestCase, Seen, get, head, post, requests_of

POST = "POST"


def length(value: str, body: bytes = b"") -> bytes:
    return post(f"Content-Length: {value}", body=body)


CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        (
            "008 in strange capitals",
            head("GET / HTTP/1.0", "conTENT-Length: 5") + b"HELLO",
            Seen(body=b"HELLO", fields={"Content-Length": "5"}, close=True),
        ),
        ("GET with a body", get("Content-Length: 5") + b"hello", Seen(body=b"hello")),
        ("GET with a body of nothing", get("Content-Length: 0"), Seen()),
        (
            "1.0 with a body",
            head("POST / HTTP/1.0", "Host: a", "Content-Length: 5") + b"hello",
            Seen(POST, body=b"hello", close=True),
        ),
        (
            "020 the body of one is no second request",
            head("GET /1 HTTP/1.0", "Content-Length: 24") + b"GET /second HTTP/1.1\r\n\r\n",
            Seen("GET", "/1", b"GET /second HTTP/1.1\r\n\r\n", close=True),
        ),
    ),
    *requests_of(
        "gunicorn invalid",
        ("014 minus one", head("PUT / HTTP/1.0", "CONTENT-LENGTH: -1") + b"x", 400),
        ("015 words", head("POST / HTTP/1.0", "CONTENT-LENGTH: bla-bla-bla") + b"x", 400),
        ("021 two that differ", post("Content-Length: 3", "Content-Length: 2", body=b"xyz"), 400),
        ("022 minus nought", length("-0"), 400),
        ("023 an underscore", length("0_1"), 400),
        ("024 a plus sign", length("+1", b"x"), 400),
        ("prefix_03 nought and a number", length("0 1", b"x"), 400),
        ("prefix_04 two numbers", length("3 1", b"xyzabc"), 400),
        ("smuggle_cl_list_form", length("5, 5", b"hello"), 400),
    ),
    *requests_of(
        "llhttp request/content-length",
        (
            "leading noughts go on in our words",
            length("003", b"abc"),
            Seen(POST, body=b"abc", fields={"Content-Length": "3"}),
        ),
        ("and a field after it", post("Content-Length: 003", "O: w", body=b"abc"), Seen(POST, body=b"abc")),
        ("overflow", length("1000000000000000000000"), 400),
        ("two that differ", post("Content-Length: 1", "Content-Length: 2", body=b"ab"), 400),
        ("spaces around", length(" 2 ", b"ab"), Seen(POST, body=b"ab", fields={"Content-Length": "2"})),
        ("tabs around", length("\t2\t", b"ab"), Seen(POST, body=b"ab", fields={"Content-Length": "2"})),
        ("a space inside", length("4 2"), 400),
        ("another", length("13 37"), 400),
        ("empty", length(""), 400),
        (
            "a space before the colon, with an upgrade",
            post("Connection: upgrade", "Content-Length : 4", "Upgrade: ws", body=b"abcdefgh"),
            400,
        ),
    ),
    *requests_of(
        "llhttp request/finish",
        ("a body that never comes", length("100"), ()),
        ("a name that is cut short", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Leng", ()),
    ),
    *requests_of(
        "guardian severe",
        ("two that differ by a factor", post("Content-Length: 1000", "Content-Length: 100"), 400),
        ("a list without a space", length("1000,1000"), 400),
        ("two numbers", length("1000 1000"), 400),
        ("a point", length("1000.1000"), 400),
        ("64 bits and one", length("18446744073709551616"), 400),
        ("a control character after it", length("1000\x11"), 400),
        ("a space before the first colon", post("Content-Length : 100", "Content-Length: 1000"), 400),
        ("a space before the first name", post(" Content-Length: 100", "Content-Length: 1000"), 400),
        ("a dollar sign", length("$9000"), 400),
    ),
    *requests_of(
        "guardian ambiguous, bad-header-characters",
        ("twice the same", post("Content-Length: 4", "Content-Length: 4", body=b"abcd"), 400),
        (
            "HEAD with a body",
            head("HEAD / HTTP/1.1", "Host: a", "Content-Length: 4") + b"abcd",
            Seen("HEAD", body=b"abcd"),
        ),
        ("in HTTP/0.9", head("POST / HTTP/0.9", "Content-Length: 4") + b"abcd", 505),
        ("a control character before the name", post("\x01Content-Length: 1", body=b"a"), 400),
        ("two of them", post("\x01\x01Content-Length: 1", body=b"a"), 400),
        ("a control character after the name", post("Content-Length\x01: 1", body=b"a"), 400),
        ("a control character before the value", length("\x011000"), 400),
        ("obs-text after the value", length("1000\xa0"), 400),
        ("a space before both", post(" Transfer-Encoding: chunked", " Content-Length: 4", body=b"abcd"), 400),
    ),
    *requests_of(
        "h1spec",
        ("negative, far", length("-123456789123456789123456789"), 400),
        ("negative", length("-1234"), 400),
        ("letters", length("abc"), 400),
        ("POST with a body", length("5", b"hello"), Seen(POST, body=b"hello")),
    ),
    *requests_of(
        "haproxy h1_to_h1",
        ("GET with a body must be delivered", get("Content-Length: 38") + b"x" * 38, Seen(body=b"x" * 38)),
        (
            "GET, close, and bytes after it that nobody gets",
            get("Content-Length: 0", "Connection: close") + b"this is not sent\r\n\r\n",
            Seen(close=True),
        ),
        (
            "HEAD, close, and bytes after it",
            head("HEAD / HTTP/1.1", "Host: a", "Content-Length: 0", "Connection: close") + b"this is not sent\r\n\r\n",
            Seen("HEAD", close=True),
        ),
        ("POST without a length has no body", post(), Seen(POST)),
        ("POST with a length of nought", length("0"), Seen(POST)),
        ("POST with a body", length("12", b"this is sent"), Seen(POST, body=b"this is sent")),
    ),
    *requests_of(
        "RFC 9112 6.3, RFC 9110 8.6",
        ("18 digits", length("000000000000000003", b"abc"), Seen(POST, body=b"abc", fields={"Content-Length": "3"})),
        ("19 digits", length("0000000000000000003", b"abc"), 400),
        ("hexadecimal", length("0x3", b"abc"), 400),
        ("an exponent", length("1e1", b"abc"), 400),
        ("quotes", length('"3"', b"abc"), 400),
        ("a semicolon", length("3;", b"abc"), 400),
        ("a comma", length("3,", b"abc"), 400),
        ("full-width digits", length("\xef\xbc\x93", b"abc"), 400),
        ("superscript", length("\xb2", b"ab"), 400),
        ("VT before", length("\x0b3", b"abc"), 400),
        ("63 bits and one", length("9223372036854775808"), 400),
        ("32 bits and one is only large", length("4294967296"), ()),
        ("too short: the rest is no request", length("3", b"abcdef\r\n\r\n"), (Seen(POST, body=b"abc"), 400)),
    ),
]
