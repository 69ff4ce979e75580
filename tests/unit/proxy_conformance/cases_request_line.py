"""Request lines: methods, targets, versions, line ends."""

from __future__ import annotations

from wire_case import RequestCase, Seen, get, head, requests_of

H = "Host: a"


def line(text: str) -> bytes:
    """A request with this first line."""
    return head(text, H)


CASES: list[RequestCase] = [
    *requests_of(
        "gunicorn valid",
        (
            "001 PUT in 1.0 without Host",
            head("PUT /s?f=b HTTP/1.0", "Content-Length: 2") + b"{}",
            Seen("PUT", "/s?f=b", b"{}", {"Content-Length": "2"}, close=True),
        ),
        (
            "002 a Host that is a sub-delimited name",
            head("GET /t HTTP/1.1", "Host: 0.0.0.0=5000"),
            Seen("GET", "/t", fields={"Host": "0.0.0.0=5000"}),
        ),
        ("006 no field but Host", line("GET /w/x HTTP/1.1"), Seen("GET", "/w/x")),
        ("015 GET in 1.0", head("GET /t HTTP/1.0", "Host: a:5000"), Seen("GET", "/t", close=True)),
        ("014 quotes in the target", line('GET /q"q"?f="b" HTTP/1.1'), Seen("GET", '/q"q"?f="b"')),
        ("005 a fragment in the target", line("GET /f?p=1#post HTTP/1.1"), 400),
        ("027 UTF-8 in the target", line("GET /\xc2\xa0%20k HTTP/1.0"), 400),
        ("031 a method that begins with a hyphen", line("-BLARGH /f HTTP/1.1"), Seen("-BLARGH", "/f")),
        ("031compat a method in lower case", line("-blargh /f HTTP/1.1"), Seen("-blargh", "/f")),
        ("100 several slashes", line("GET ///k HTTP/1.1"), Seen("GET", "///k")),
        ("024 a long target", line("PUT /" + "q" * 4000 + " HTTP/1.0"), Seen("PUT", "/" + "q" * 4000, close=True)),
        (
            "target_absolute",
            head("GET http://example.com/f?q=1 HTTP/1.1", "Host: example.com"),
            Seen("GET", "/f?q=1", fields={"Host": "example.com"}),
        ),
        (
            "target_absolute_https",
            head("GET https://example.com/f HTTP/1.1", "Host: example.com"),
            Seen("GET", "/f", fields={"Host": "example.com"}),
        ),
        (
            "target_absolute_ipv6",
            head("GET http://[::1]:8080/f HTTP/1.1", "Host: [::1]:8080"),
            Seen("GET", "/f", fields={"Host": "[::1]:8080"}),
        ),
        ("target_absolute_userinfo", head("GET http://u:p@example.com/f HTTP/1.1", "Host: example.com"), 400),
        ("target_asterisk_options", line("OPTIONS * HTTP/1.1"), Seen("OPTIONS", "*")),
        ("target_authority_connect", head("CONNECT e.com:443 HTTP/1.1", "Host: e.com:443"), 405),
        ("target_authority_ipv6", head("CONNECT [::1]:443 HTTP/1.1", "Host: [::1]:443"), 405),
    ),
    *requests_of(
        "gunicorn invalid",
        ("002 no target", line("GET HTTP/1.1"), 400),
        ("003 LF for spaces", line("GET\n/\nHTTP/1.1"), 400),
        ("003b a colon in the method", line("bla:rgh /f HTTP/1.1"), 400),
        ("004 another protocol", line("GET /f FTP/1.1"), 400),
        ("016 a target that is no address", line("PUT s://]ufd/: HTTP/1.1"), 400),
        ("018 HTTP/111", line("GET /t HTTP/111"), 400),
        ("006 a target that is far too long", line("PUT /" + "q" * 9000 + " HTTP/1.0"), 414),
        ("nonascii_01 a letter with an umlaut in the method", line("GET\xc3\x9f /g HTTP/1.1"), 400),
        ("nonascii_02 another", line("GET\xc3\xbf /f HTTP/1.1"), 400),
        ("prefix_01 NUL in the method", line("GET\0PROXY /f HTTP/1.1"), 400),
        ("prefix_02 NUL after the method", line("GET\0 /f HTTP/1.1"), 400),
        ("prefix_05 a colon after the method", line("GET: /s HTTP/1.1"), 400),
        ("prefix_06 a version of a hundred digits", line(f"GET /f HTTP/{'1' * 100}.1"), 505),
        ("version_01 HTTP/0.99", line("GET /f HTTP/0.99"), 505),
        ("version_02 HTTP/2.0", line("GET /f HTTP/2.0"), 505),
        ("asterisk_non_options", line("GET * HTTP/1.1"), 400),
        ("authority_non_connect", head("GET e.com:443 HTTP/1.1", "Host: e.com:443"), 400),
        ("target_relative", line("GET f/b HTTP/1.1"), 400),
        ("pp_01 the PROXY protocol, cut short", b"PROXY TCP4 192.168.0.1 192.16...\r\n\r\n", 400),
        ("pp_02 the PROXY protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 56324 443\r\n" + get(), 400),
    ),
    *requests_of(
        "llhttp request/uri",
        ("two question marks", line("GET /t.cgi?f=b?z HTTP/1.1"), Seen("GET", "/t.cgi?f=b?z")),
        ("a vertical bar", line("GET /t.cgi?q=| HTTP/1.1"), Seen("GET", "/t.cgi?q=|")),
        ("host ended by a query", head("GET http://h.org?q=all HTTP/1.1", "Host: h.org"), Seen("GET", "/?q=all")),
        (
            "host and port ended by a query",
            head("GET http://h.org:1234?q=all HTTP/1.1", "Host: h.org:1234"),
            Seen("GET", "/?q=all", fields={"Host": "h.org:1234"}),
        ),
        ("host and port alone", head("GET http://h.org:1234 HTTP/1.1", "Host: h.org:1234"), Seen("GET", "/")),
        ("UTF-8 in the path", line("GET /\xce\xb4\xc2\xb6/p?q=1 HTTP/1.1"), 400),
        ("credentials", head("GET http://a%12:b!&*$@h.org:1234/t HTTP/1.1", "Host: h.org:1234"), 400),
        ("a space", line("GET /f b/ HTTP/1.1"), 400),
        ("CONNECT to a name with an underscore", line("CONNECT home_0.n.com:443 HTTP/1.0"), 405),
    ),
    *requests_of(
        "llhttp request/method",
        *[
            (f"{method}", line(f"{method} /f HTTP/1.1"), Seen(method, "/f"))
            for method in ("REPORT", "PURGE", "SEARCH", "LINK", "UNLINK", "SOURCE", "PROPFIND", "MKCALENDAR", "QUERY")
        ],
        (
            "PATCH",
            head("PATCH /f HTTP/1.1", H, 'If-Match: "e"', "Content-Length: 10") + b"cccccccccc",
            Seen("PATCH", "/f", b"cccccccccc", {"If-Match": '"e"'}),
        ),
        ("M-SEARCH of everything", line("M-SEARCH * HTTP/1.1"), 400),
        ("PRI, the HTTP/2 preface's beginning", b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", 400),
        ("SOURCE in ICE", line("SOURCE /s ICE/1.0"), 400),
        ("OPTIONS in RTSP", line("OPTIONS /s RTSP/1.0"), 400),
        ("CONNECT in 1.0", line("CONNECT h.n.com:443 HTTP/1.0"), 405),
        ("CONNECT with a body", head("CONNECT f.b.com:443 HTTP/1.0", "Content-Length: 10") + b"blarfcicle", 405),
    ),
    *requests_of(
        "llhttp request/invalid",
        ("ICE with GET", line("GET /s ICE/1.0"), 400),
        ("IHTTP", line("GET /s IHTTP/1.0"), 400),
        ("PUT in RTSP", line("PUT /s RTSP/1.0"), 400),
        ("ANNOUNCE in HTTP, a method like any other", line("ANNOUNCE /s HTTP/1.1"), Seen("ANNOUNCE", "/s")),
        ("MKCOLA, a method like any other", line("MKCOLA / HTTP/1.1"), Seen("MKCOLA")),
        ("HTTP/5.6", line("GET / HTTP/5.6"), 505),
    ),
    *requests_of(
        "llhttp request/sample",
        ("CRLF before the request", b"\r\n" + get(), Seen()),
        ("no version", b"GET /\r\n\r\n", 400),
        ("CR without LF after the request line", b"GET / HTTP/1.1\rLine: 1\r\n\r\n", 400),
        ("HEAD", line("HEAD /u HTTP/1.1"), Seen("HEAD", "/u")),
    ),
    *requests_of(
        "guardian uri-specific",
        ("HTAB in the target", line("GET /e\tHTTP/1.1 HTTP/1.1"), 400),
        ("a space after the version", line("GET /e HTTP/1.1 "), 400),
        ("control character in the target", line("GET /e\x01f HTTP/1.1"), 400),
        ("spaces in the target", line("GET /e?p=not escaped HTTP/1.1"), 400),
        ("two versions", line("GET /e HTTP/1.1 HTTP/1.1"), 400),
        ("CR in the target", line("GET /e\rf HTTP/1.1"), 400),
        ("LF in the target", line("GET /e\nf HTTP/1.1"), 400),
        ("a whole request in the target", b"GET /e\tHTTP/1.1\r\nHost: a\r\n\r\nGET\t/f\t HTTP/1.1\r\n\r\n", 400),
        ("NUL in the target", line("GET /e\0f HTTP/1.1"), 400),
        ("NUL before the target", line("GET \0/e HTTP/1.1"), 400),
        *[
            (f"%{code} in the target", line(f"GET /p-%{code}-u HTTP/1.1"), Seen("GET", f"/p-%{code}-u"))
            for code in ("09", "20", "0D", "0A", "00")
        ],
    ),
    *requests_of(
        "guardian acceptable, rfc-compliant, severe",
        ("HTTP/0.9 spelled out", line("GET /f HTTP/0.9"), 505),
        ("no version, with fields", line("GET /f"), 400),
        ("HTTP/1.2 is answered as 1.1", line("GET /f HTTP/1.2"), Seen("GET", "/f")),
        ("a method in lower case is another method", line("get /f HTTP/1.1"), Seen("get", "/f")),
        (
            "a target full of sub-delimiters",
            line("POST /u:p@w:80/i.php?a=l%20++~!@ HTTP/1.1"),
            Seen("POST", "/u:p@w:80/i.php?a=l%20++~!@"),
        ),
        ("no target", line("GET  HTTP/1.1"), 400),
    ),
    *requests_of(
        "h1spec",
        ("no version but a space", b"GET / \r\n\r\n", 400),
        ("HTTP/9.9", line("GET / HTTP/9.9"), 505),
        ("words before the method", line("Extra lineGET / HTTP/1.1"), 400),
    ),
    *requests_of(
        "haproxy h1_request_target_validation",
        ("OPTIONS of a path", line("OPTIONS / HTTP/1.1"), Seen("OPTIONS")),
        ("OPTIONS of a host", head("OPTIONS http://h.org HTTP/1.1", "Host: h.org"), Seen("OPTIONS", "*")),
        ("an asterisk and more", line("OPTIONS */t HTTP/1.1"), 400),
        ("CONNECT without a port", line("CONNECT h.org HTTP/1.1"), 405),
        ("CONNECT to a path", line("CONNECT / HTTP/1.1"), 405),
        ("CONNECT to an address", line("CONNECT http://h.org:80 HTTP/1.1"), 405),
        ("a word", line("GET admin HTTP/1.1"), 400),
        ("a path without its slash", line("GET admin/a/b HTTP/1.1"), 400),
    ),
    *requests_of(
        "haproxy h1_authority_fragment_char",
        ("a fragment after the host", head("GET http://h#f HTTP/1.1", "Host: h"), 400),
        ("a fragment after the path", head("GET http://h/a#f HTTP/1.1", "Host: h"), 400),
    ),
    *requests_of(
        "RFC 9112 2.2, 3",
        ("LF before", b"\n" + get(), 400),
        ("CR before", b"\r" + get(), 400),
        ("space before", b" " + get(), 400),
        ("LF as line ends", b"GET / HTTP/1.1\nHost: a\n\n", 400),
        ("LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("CR CR LF after the request line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
        ("two spaces after the method", line("GET  / HTTP/1.1"), 400),
        ("two spaces before the version", line("GET /  HTTP/1.1"), 400),
        ("HTAB after the method", line("GET\t/ HTTP/1.1"), 400),
        ("VT after the method", line("GET\x0b/ HTTP/1.1"), 400),
        ("version in lower case", line("GET / http/1.1"), 400),
        ("HTTP/1.", line("GET / HTTP/1."), 400),
        ("HTTP/1", line("GET / HTTP/1"), 400),
        ("HTTP/+1.1", line("GET / HTTP/+1.1"), 400),
        ("HTTP/1.10", line("GET / HTTP/1.10"), 505),
        ("HTTP/01.1", line("GET / HTTP/01.1"), 505),
        ("HTTP/1,1", line("GET / HTTP/1,1"), 400),
        ("DEL in the target", line("GET /\x7f HTTP/1.1"), 400),
        ("braces, backslash, caret in the target", line("GET /{a}\\^`<b> HTTP/1.1"), Seen("GET", "/{a}\\^`<b>")),
        ("a percent sign alone", line("GET /%zz HTTP/1.1"), Seen("GET", "/%zz")),
        ("dots in the path stay", line("GET /a/../b/./c HTTP/1.1"), Seen("GET", "/a/../b/./c")),
        ("scheme in capitals", head("GET HTTP://a/x HTTP/1.1", H), Seen("GET", "/x")),
        ("another scheme", head("GET ftp://a/x HTTP/1.1", H), 400),
        ("an empty authority", head("GET http:///x HTTP/1.1", H), 400),
        ("a scheme-relative target is a path", line("GET //a/x HTTP/1.1"), Seen("GET", "//a/x")),
        (
            "every token character in the method",
            line("!#$%&'*+-.^_`|~09AZaz / HTTP/1.1"),
            Seen("!#$%&'*+-.^_`|~09AZaz"),
        ),
        ("a method of a thousand letters", line("M" * 1000 + " / HTTP/1.1"), Seen("M" * 1000)),
        ("a request line one past the bound", line("GET /" + "q" * (8192 - 13) + " HTTP/1.1"), 414),
    ),
    *requests_of(
        "RFC 9112 2.2",
        # One empty line is to be ignored; nginx and HAProxy ignore any number.
        ("two empty lines before", b"\r\n\r\n" + get(), Seen()),
        ("three empty lines before", b"\r\n\r\n\r\n" + get(), Seen()),
    ),
    *requests_of(
        "RFC 9112 3",
        (
            "a request line at the bound",
            line("GET /" + "q" * (8192 - 14) + " HTTP/1.1"),
            Seen("GET", "/" + "q" * (8192 - 14)),
        ),
    ),
    *requests_of(
        "RFC 9113 3.4",
        # Only the whole preface is passed on unread; what begins like it is no HTTP/1.
        ("HTTP/2's preface, then no HTTP/2", b"PRI * HTTP/2.0\r\n\r\n" + get(), 505),
    ),
]
