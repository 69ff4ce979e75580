"""Transfer-Encoding in requests: which codings, how often, beside what."""

from __future__ import annotations

from wire_case import RequestCase, Seen, get, head, post, requests_of

POST = "POST"
NOTHING = b"0\r\n\r\n"
CHUNK = b"3\r\nabc\r\n0\r\n\r\n"


def coded(*values: str, body: bytes = CHUNK) -> bytes:
    return post(*[f"Transfer-Encoding: {value}" for value in values], body=body)


CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        (
            "009 identity beside Content-Length",
            post("Transfer-Encoding: identity", "Content-Length: 5", body=b"World"),
            400,
        ),
        ("010 chunked", coded("chunked"), Seen(POST, body=b"abc", fields={"Content-Length": None})),
        ("025 gzip, then chunked", coded("gzip", "chunked"), 501),
        ("025_line in one line", coded("gzip,chunked"), 501),
        ("029 identity, then chunked", coded("identity", "chunked"), 501),
        ("te_identity_chunked in one line", coded("identity, chunked"), 501),
    ),
    *requests_of(
        "gunicorn invalid",
        (
            "chunked_02 beside Content-Length",
            post("Content-Length: 12", "Transfer-Encoding: \tchunked", body=CHUNK),
            400,
        ),
        ("chunked_03 twice, with identity", coded("identity, chunked, identity, chunked"), 501),
        ("chunked_04 the same in four lines", coded("identity", "chunked", "identity", "chunked"), 501),
        ("chunked_05 in 1.0", head("POST / HTTP/1.0", "Transfer-Encoding: chunked") + CHUNK, 400),
        ("chunked_06 chunked is not last", coded("chunked", "gzip"), 501),
        ("chunked_08 identity is last", coded("chunked", "identity"), 501),
        ("smuggle_cl_te_chunked", post("Content-Length: 3", "Transfer-Encoding: chunked", body=NOTHING), 400),
    ),
    *requests_of(
        "llhttp request/transfer-encoding",
        ("pigeons", coded("pigeons", body=b""), 501),
        ("identity and Content-Length", post("Content-Length: 1", "Transfer-Encoding: identity", body=b"W"), 400),
        (
            "empty lines beside Content-Length",
            post(
                "Content-Length: 10",
                "Transfer-Encoding:",
                "Transfer-Encoding:",
                "Transfer-Encoding:",
                body=b"2\r\nAA\r\n0\r\n",
            ),
            400,
        ),
        ("chunked before deflate", coded("chunked, deflate", body=b"World"), 501),
        ("in two lines", coded("chunked", "deflate", body=b"World"), 501),
        ("deflate, then chunked", coded("deflate, chunked"), 501),
        ("in two lines, chunked last", coded("deflate", "chunked"), 501),
        ("chunkedchunked", coded("chunkedchunked"), 501),
        ("a fold after chunked", post("Transfer-Encoding: chunked", "  abc", body=CHUNK), 400),
        ("no body yet", coded("chunked", body=b""), ()),
    ),
    *requests_of(
        "guardian ambiguous",
        ("a space after the name", post("Transfer-Encoding : chunked", body=CHUNK), 400),
        ("a tab after the name", post("Transfer-Encoding\t: chunked", body=CHUNK), 400),
        ("a control character before", post("\x01Transfer-Encoding: chunked", body=CHUNK), 400),
        ("two of them", post("\x01\x01Transfer-Encoding: chunked", body=CHUNK), 400),
        ("a space in the middle", post("Transfer- Encoding: chunked", body=CHUNK), 400),
        ("obs-text after the name", post("Transfer-Encoding\x88: chunked", body=CHUNK), 400),
        ("chunked and Content-Length", post("Transfer-Encoding: chunked", "Content-Length: 100", body=CHUNK), 400),
        ("gzip and Content-Length", post("Transfer-Encoding: gzip", "Content-Length: 100", body=b"x"), 400),
        ("GET with chunks", get("Transfer-Encoding: chunked") + CHUNK, Seen(body=b"abc")),
        (
            "HEAD with chunks",
            head("HEAD / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + CHUNK,
            Seen("HEAD", body=b"abc"),
        ),
        (
            "a space after the name, and Content-Length",
            post("Transfer-Encoding : chunked", "Content-Length: 1000"),
            400,
        ),
        (
            "a space before the name, and Content-Length",
            post(" Transfer-Encoding: chunked", "Content-Length: 1000"),
            400,
        ),
        ("a space after both names", post("Transfer-Encoding : chunked", "Content-Length : 1000"), 400),
        ("in HTTP/0.9", head("POST / HTTP/0.9", "Transfer-Encoding: chunked") + CHUNK, 505),
        ("a space after the first of two", post("Transfer-Encoding : chunked", "Transfer-Encoding: chunked"), 400),
    ),
    *requests_of(
        "guardian bad-header-characters, severe",
        ("a control character before the value", coded("\x01chunked"), 400),
        ("after the value", coded("chunked\x01"), 400),
        ("obs-text before the value", coded("\xa0chunked"), 501),
        ("obs-text after the value", coded("chunked\xa0"), 501),
        ("after the name", post("Transfer-Encoding\x01: chunked", body=CHUNK), 400),
        ("xchunked", coded("xchunked"), 501),
        ("chunk", coded("chunk"), 501),
        ("twice", coded("chunked", "chunked"), 400),
        ("twice in a line", coded("chunked,chunked"), 400),
        ("DEL after the value", coded("chunked\x7f"), 400),
        ("NUL before the name", post("\0Transfer-Encoding: chunked", body=CHUNK), 400),
        ("NUL before the value", coded("\0chunked"), 400),
        ("CR before the name", post("\rTransfer-Encoding: chunked", body=CHUNK), 400),
        ("CR, and Content-Length", post("Content-Length: 3", "\rTransfer-Encoding: chunked", body=b"abc"), 400),
        (
            "in mixed capitals, and Content-Length",
            post("tRANSFER-ENCODING: chunked", "Content-Length: 3", body=CHUNK),
            400,
        ),
    ),
    *requests_of(
        "guardian rfc-compliant",
        ("five codings in five lines", coded("gzip", "deflate", "identity", "compress", "chunked"), 501),
        ("five codings in a line", coded("gzip , deflate , \tidentity\t, compress\t, chunked"), 501),
        ("chunked with a parameter", coded("chunked;custom_param"), 501),
    ),
    *requests_of(
        "h1spec",
        ("chunked", coded("chunked", body=b"c\r\nHellO world1\r\n0\r\n\r\n"), Seen(POST, body=b"HellO world1")),
        (
            "beside Content-Length, in strange capitals",
            post("content-LengtH: 5", "TransFer-Encoding: chunked", body=b"c\r\nHellO world1\r\n0\r\n\r\n"),
            400,
        ),
    ),
    *requests_of(
        "haproxy http_transfer_encoding",
        (
            "a smuggled request",
            post("Transfer-Encoding: chunked", "Content-Length: 31", body=b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
            400,
        ),
        ("in 1.0", head("POST / HTTP/1.0", "Transfer-Encoding: chunked") + NOTHING, 400),
        ("chunked, gzip, chunked", coded("chunked, gzip, chunked", body=NOTHING), 501),
        ("chunked, gzip", coded("chunked, gzip", body=NOTHING), 501),
        ("gzip", coded("gzip", body=b""), 501),
        ("gzip, chunked", coded("gzip, chunked", body=NOTHING), 501),
        (
            "TE: trailers",
            post("Transfer-Encoding: chunked", "TE: trailers, gzip", body=NOTHING),
            Seen(POST, fields={"TE": "trailers", "Connection": "TE"}),
        ),
        ("TE: gzip", post("Transfer-Encoding: chunked", "TE: gzip", body=NOTHING), Seen(POST, fields={"TE": None})),
        (
            "TE: trailers with a weight",
            post("Transfer-Encoding: chunked", "TE: trailers;q=0.5", body=NOTHING),
            Seen(POST, fields={"TE": None}),
        ),
    ),
    *requests_of(
        "RFC 9112 6.1",
        ("in capitals", coded("CHUNKED"), Seen(POST, body=b"abc", fields={"Transfer-Encoding": "chunked"})),
        ("tabs around", coded("\tchunked\t"), Seen(POST, body=b"abc")),
        ("empty", coded("", body=b""), 400),
        ("a comma", coded(",", body=b""), 400),
        ("VT before", coded("\x0bchunked"), 400),
        ("quotes", coded('"chunked"'), 501),
        ("chunked and a word", coded("chunked foo"), 501),
        ("identity alone", coded("identity", body=b""), 501),
        (
            "Content-Length of nought beside it",
            post("Content-Length: 0", "Transfer-Encoding: chunked", body=CHUNK),
            400,
        ),
        (
            "Connection cannot take it out",
            post("Connection: transfer-encoding", "Transfer-Encoding: chunked", body=CHUNK),
            Seen(POST, body=b"abc", fields={"Transfer-Encoding": "chunked"}),
        ),
        (
            "Connection cannot take Content-Length out",
            post("Connection: content-length", "Content-Length: 3", body=b"abc"),
            Seen(POST, body=b"abc", fields={"Content-Length": "3"}),
        ),
        (
            "in HTTP/1.2 it is as in 1.1",
            head("POST / HTTP/1.2", "Host: a", "Transfer-Encoding: chunked") + CHUNK,
            Seen(POST, body=b"abc"),
        ),
    ),
    *requests_of(
        "RFC 9110 5.6.1",
        # Empty members of a list are to be ignored; nginx and HAProxy refuse them here, where they frame the message.
        ("commas around chunked", coded(", chunked ,"), 400),
        ("a comma after chunked", coded("chunked,"), 400),
    ),
]
