"""Chunked bodies of requests: sizes, extensions, ends, trailers."""

from __future__ import annotations

from wire_case import RequestCase, Seen, chunked, get, requests_of

POST = "POST"
LAST = b"0\r\n\r\n"

CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        (
            "011 the last chunk in three noughts",
            chunked(b"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n"),
            Seen(POST, body=b"hello world"),
        ),
        (
            "012 trailers",
            chunked(b"5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n"),
            Seen(POST, body=b"hello", trailers={"vary": "*", "content-type": "text/plain"}),
        ),
        (
            "013 extensions, with a space",
            chunked(b"5; some; parameters=stuff\r\nhello\r\n6; b; b\r\n world\r\n" + LAST),
            Seen(POST, body=b"hello world"),
        ),
        ("ext_quoted", chunked(b'5;foo="bar baz"\r\nhello\r\n' + LAST), Seen(POST, body=b"hello")),
        ("size_leading_zeros", chunked(b"0005\r\nhello\r\n" + LAST), Seen(POST, body=b"hello")),
        ("size_uppercase_hex", chunked(b"A\r\n0123456789\r\n" + LAST), Seen(POST, body=b"0123456789")),
        (
            "023 and another request",
            chunked(b"5\r\nhello\r\n000\r\n\r\n") + get(target="/2"),
            (Seen(POST, body=b"hello"), Seen("GET", "/2")),
        ),
    ),
    *requests_of(
        "gunicorn invalid",
        ("chunked_01 an underscore in a size", chunked(b"5\r\nhello\r\n6_0\r\n world\r\n" + LAST), 400),
        ("chunked_09 a space after the last size", chunked(b"5\r\nhello\r\n0 \r\n\r\n"), 400),
        ("chunked_10 a space before a size", chunked(b"5\r\nhello\r\n 0\r\n\r\n"), 400),
        ("chunked_11 LF in a size line", chunked(b"5\n;\r\nhello\r\n" + LAST), 400),
        ("chunked_12 an extension without a size", chunked(b" ;foo=bar\r\nhello\r\n" + LAST), 400),
        ("chunked_13 no size", chunked(b"\r\nhello\r\n" + LAST), 400),
        ("chunked_14 CR in an extension", chunked(b"5;e=v\rue\r\nhello\r\n" + LAST), 400),
        (
            "trailer_forbidden_cl: dropped",
            chunked(b"5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
            Seen(POST, body=b"hello"),
        ),
        (
            "trailer_forbidden_host: dropped",
            chunked(b"5\r\nhello\r\n0\r\nHost: evil.example.com\r\n\r\n"),
            Seen(POST, body=b"hello"),
        ),
        (
            "trailer_forbidden_te: dropped",
            chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Seen(POST, body=b"hello"),
        ),
        ("missing_final_crlf waits", chunked(b"0\r\n"), ()),
        ("size_minus_sign", chunked(b"-5\r\nhello\r\n" + LAST), 400),
        ("size_plus_sign", chunked(b"+5\r\nhello\r\n" + LAST), 400),
    ),
    *requests_of(
        "llhttp request/transfer-encoding",
        ("size in lower case", chunked(b"a\r\n0123456789\r\n" + LAST), Seen(POST, body=b"0123456789")),
        ("two digits", chunked(b"1e\r\n" + b"x" * 30 + b"\r\n" + LAST), Seen(POST, body=b"x" * 30)),
        ("extensions", chunked(b"5;i;s=a;n=w\r\nhello\r\n6;b;b\r\n world\r\n" + LAST), Seen(POST, body=b"hello world")),
        ("no semicolon before an extension", chunked(b"2 erf\r\naa\r\n0 rrrr\r\n\r\n"), 400),
        # nginx and HAProxy drop extensions unread, and so do we: what is dropped misleads nobody.
        ("a semicolon and no extension", chunked(b"2;\r\naa\r\n" + LAST), Seen(POST, body=b"aa")),
        (
            "quoted pairs in an extension",
            chunked(b'5;i="I \\"l\\"; \\\\e\\\\";s="a";b;f=b\r\nhello\r\n' + LAST),
            Seen(POST, body=b"hello"),
        ),
        (
            "a quote that is not closed",
            chunked(b'5;i="abc";s="def; ghi\r\nhello\r\n' + LAST),
            Seen(POST, body=b"hello"),
        ),
        ("no last chunk", chunked(b"3\r\nfoo\r\n\r\n"), 400),
        ("LF and spaces in a size line", chunked(b"3 \n  \r\nfoo\r\n" + LAST), 400),
        ("CR CR in a size line", chunked(b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n") + get(), 400),
        ("data not ended by CRLF", chunked(b"5\r\nABCDE0\r\n\r\n"), 400),
        ("a space after a size", chunked(b"a \r\n0123456789\r\n" + LAST), 400),
        ("LF as line ends", chunked(b"1\nA\n1;abc\nB\n0\n\n"), 400),
    ),
    *requests_of(
        "RFC 9112 7.1",
        ("nothing", chunked(LAST), Seen(POST)),
        ("LF after a size", chunked(b"3\nabc\r\n" + LAST), 400),
        ("LF after data", chunked(b"3\r\nabc\n" + LAST), 400),
        ("LF after the last size", chunked(b"3\r\nabc\r\n0\n\r\n"), 400),
        ("LF as the end", chunked(b"3\r\nabc\r\n0\r\n\n"), 400),
        ("CR alone after a size", chunked(b"3\rabc\r\n" + LAST), 400),
        ("data too long", chunked(b"3\r\nabcd\r\n" + LAST), 400),
        ("data too short", chunked(b"4\r\nabc\r\n" + LAST), 400),
        ("0x", chunked(b"0x3\r\nabc\r\n" + LAST), 400),
        ("a letter past f", chunked(b"g\r\nabc\r\n" + LAST), 400),
        ("a point", chunked(b"3.0\r\nabc\r\n" + LAST), 400),
        ("16 digits", chunked(b"0000000000000003\r\nabc\r\n" + LAST), 400),
        ("15 digits", chunked(b"000000000000003\r\nabc\r\n" + LAST), Seen(POST, body=b"abc")),
        ("64 bits overflow", chunked(b"10000000000000003\r\nabc\r\n" + LAST), 400),
        ("all the bits", chunked(b"ffffffffffffffff\r\nabc\r\n" + LAST), 400),
        ("a tab before the semicolon", chunked(b"3\t;x\r\nabc\r\n" + LAST), Seen(POST, body=b"abc")),
        ("NUL in an extension", chunked(b"3;\0\r\nabc\r\n" + LAST), 400),
        ("a size line past its bound", chunked(b"3;" + b"x" * 300 + b"\r\nabc\r\n" + LAST), 400),
        (
            "extensions past their bound in all",
            chunked(b"".join(b"1;" + b"x" * 240 + b"\r\na\r\n" for _ in range(80)) + LAST),
            400,
        ),
        (
            "a request in the data is data",
            chunked(b"2a\r\nGET /smuggled HTTP/1.1\r\nHost: evil.com\r\n\r\n\r\n" + LAST),
            Seen(POST, body=b"GET /smuggled HTTP/1.1\r\nHost: evil.com\r\n\r\n"),
        ),
        (
            "many chunks of one byte",
            chunked(b"".join(b"1\r\n%c\r\n" % c for c in b"abcdefgh") + LAST),
            Seen(POST, body=b"abcdefgh"),
        ),
        (
            "another request right after",
            chunked(b"3\r\nabc\r\n" + LAST) + get(target="/2") + get(target="/3"),
            (Seen(POST, body=b"abc"), Seen("GET", "/2"), Seen("GET", "/3")),
        ),
        (
            "CRLF after the end is before the next",
            chunked(b"3\r\nabc\r\n" + LAST) + b"\r\n" + get(target="/2"),
            (Seen(POST, body=b"abc"), Seen("GET", "/2")),
        ),
    ),
    *requests_of(
        "RFC 9112 7.1.2, RFC 9110 6.5",
        ("a trailer", chunked(b"3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n"), Seen(POST, body=b"abc", trailers={"x-sum": "9"})),
        ("a trailer with a folded line", chunked(b"0\r\nX: a\r\n b\r\n\r\n"), 400),
        ("a trailer with a space before the colon", chunked(b"0\r\nX : a\r\n\r\n"), 400),
        ("a trailer without a colon", chunked(b"0\r\nX\r\n\r\n"), 400),
        ("a trailer with LF", chunked(b"0\r\nX: a\n\r\n"), 400),
        ("a trailer with NUL", chunked(b"0\r\nX: \0\r\n\r\n"), 400),
        (
            "hop-by-hop in trailers is dropped",
            chunked(b"0\r\nConnection: close\r\nKeep-Alive: 1\r\nX: 1\r\n\r\n"),
            Seen(POST, trailers={"x": "1"}),
        ),
        ("forwarding fields in trailers are dropped", chunked(b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"), Seen(POST)),
        ("trailers past their bound", chunked(b"0\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n"), 431),
        ("trailers in small lines past their bound", chunked(b"0\r\n" + b"X: yyyyyyyyyy\r\n" * 700 + b"\r\n"), 431),
        ("a trailer that frames is dropped, whatever it says", chunked(b"0\r\nContent-Length: x\r\n\r\n"), Seen(POST)),
    ),
]
