"""Answers: status lines and field lines."""

from __future__ import annotations

from wire_case import CLOSE, AnswerCase, Got, answer

ZERO = "Content-Length: 0"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


def first(name: str, line: str, expect: Got | int, source: str, then: str = "keep") -> AnswerCase:
    return AnswerCase(name, source, answer(ZERO, first=line), expect, then)


def fields(name: str, source: str, *lines: str, expect: Got | int | str = 502) -> AnswerCase:
    return AnswerCase(name, source, answer(*lines, ZERO), expect)


INVALID = "llhttp response/invalid"
SAMPLE = "llhttp response/sample"
RFC = "RFC 9112 4"

CASES: list[AnswerCase] = [
    first("HTP", "HTP/1.1 200 OK", 502, INVALID),
    first("HTTP/01.1", "HTTP/01.1 200 OK", 502, INVALID),
    first("HTTP/11.1", "HTTP/11.1 200 OK", 502, INVALID),
    first("HTTP/1.01", "HTTP/1.01 200 OK", 502, INVALID),
    first("a tab after the version", "HTTP/1.1\t200 OK", 502, INVALID),
    first("CR before it", "\rHTTP/1.1\t200 OK", 502, INVALID),
    first("CR after it", "HTTP/1.1 200 OK\rContent-Length: 0", 502, INVALID),
    first("CR CR after it", "HTTP/1.1 200 OK\r\rContent-Length: 4", 502, INVALID),
    first("HTTP/5.6", "HTTP/5.6 200 OK", 502, INVALID),
    first("two spaces before the status", "HTTP/1.1  200 OK", 502, INVALID),
    first("two spaces after the status", "HTTP/1.1 200  OK", Got(), INVALID),
    first("one digit", "HTTP/1.1 2 OK", 502, INVALID),
    first("RTSP", "RTSP/1.1 200 OK", 502, SAMPLE),
    first("ICE", "ICE/1.1 200 OK", 502, SAMPLE),
    first("HTTPER", "HTTPER/1.1 200 OK", 502, SAMPLE),
    first("no reason and no space", "HTTP/1.1 301", Got(301), SAMPLE),
    first("no reason", "HTTP/1.1 200 ", Got(), SAMPLE),
    first("a reason in ISO 8859-1", "HTTP/1.1 500 Ori\xebntatieprobleem", Got(500), SAMPLE),
    first("HTTP/0.9", "HTTP/0.9 200 OK", 502, SAMPLE),
    first("HTTP/1.0", "HTTP/1.0 200 OK", Got(), RFC),
    first("HTTP/1.2", "HTTP/1.2 200 OK", Got(), RFC),
    first("HTTP/2.0", "HTTP/2.0 200 OK", 502, RFC),
    first("four digits", "HTTP/1.1 2000 OK", 502, RFC),
    first("two digits", "HTTP/1.1 20 OK", 502, RFC),
    first("a sign", "HTTP/1.1 +20 OK", 502, RFC),
    first("letters", "HTTP/1.1 OK OK", 502, RFC),
    first("099", "HTTP/1.1 099 X", 502, RFC),
    first("000", "HTTP/1.1 000 X", 502, RFC),
    first("599", "HTTP/1.1 599 X", Got(599), RFC),
    first("600 and more are the application's affair", "HTTP/1.1 799 X", Got(799), RFC),
    first("a status without a meaning", "HTTP/1.1 299 X", Got(299), RFC),
    first("NUL in the reason", "HTTP/1.1 200 O\0K", 502, RFC),
    first("LF in the reason", "HTTP/1.1 200 O\nK", 502, RFC),
    first("a tab in the reason", "HTTP/1.1 200 O\tK", Got(), RFC),
    first("lower case", "http/1.1 200 OK", 502, RFC),
    first("no status", "HTTP/1.1", 502, RFC),
    first("nothing", "", 502, RFC),
    AnswerCase("words", RFC, b"I am no HTTP server\r\n\r\n", 502),
    AnswerCase("words, and a close", RFC, b"I am no HTTP server\r\n", 502, CLOSE),
    AnswerCase("nothing, and a close", RFC, b"", 502, CLOSE),
    AnswerCase("nothing, and a reset", RFC, b"", 502, "reset"),
    AnswerCase("only LF, no body", INVALID, b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502, CLOSE),
    AnswerCase("only LF, with a body", INVALID, b"HTTP/1.1 200 OK\nFoo: abc\n\nBODY\n", 502, CLOSE),
    AnswerCase("CRLF before it", SAMPLE, b"\r\n" + answer(ZERO), 502),
    AnswerCase("HTTP/0.9: a body alone", RFC, b"<html>hello</html>", 502, CLOSE),
    AnswerCase("a head past its bound", RFC, answer("X: " + "x" * 40000, ZERO), 502),
    AnswerCase("a head that never ends", RFC, b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyyyyyy\r\n" * 2000, 502),
    AnswerCase("too many fields", RFC, answer(*[f"F{i}: x" for i in range(150)], ZERO), 502),
    fields(
        "fields as they came",
        SAMPLE,
        "Header1: Value1",
        "Header2:\t Value2",
        expect=Got(fields={"Header1": "Value1", "Header2": "Value2"}),
    ),
    fields("CR between fields", INVALID, "Foo: 1\rBar: 2"),
    fields("a space after the status line", INVALID, " Host: foo"),
    fields("an underscore in a name", SAMPLE, "DCLK_imp: v7;x;0-0;", expect=Got(fields={"DCLK_imp": "v7;x;0-0;"})),
    fields("a dollar sign in a name", SAMPLE, "X-$P-Version: 1.6", expect=Got(fields={"X-$P-Version": "1.6"})),
    fields("an empty value", SAMPLE, "Pragma: ", expect=Got(fields={"Pragma": ""})),
    fields(
        "names that are nearly others",
        SAMPLE,
        ".et-Cookie: P",
        "_eep-Alive: timeout=45",
        "_onnection: Keep-Alive",
        expect=Got(fields={".et-Cookie": "P", "_eep-Alive": "timeout=45", "_onnection": "Keep-Alive"}),
    ),
    fields("a space in a name", SAMPLE, "en-US Content-Type: text/xml"),
    fields(
        "Proxy-Connection",
        "llhttp response/connection",
        "Proxy-Connection: close",
        expect=Got(fields={"Proxy-Connection": None}),
    ),
    fields("a space before the colon is taken out", "RFC 9112 5.1", "X : y", expect=Got(fields={"X": "y"})),
    fields("a fold", "RFC 9112 5.2", "X: y", " z"),
    fields("NUL in a value", "RFC 9110 5.5", "X: a\0b"),
    fields("BEL in a value", "RFC 9110 5.5", "X: a\x07b"),
    fields("LF in a value", "RFC 9112 2.2", "X: a\nY: b"),
    fields("no colon", "RFC 9112 5", "X"),
    fields("an empty name", "RFC 9112 5", ": x"),
    fields("obs-text", "RFC 9110 5.5", "X: \xe4", expect=Got(fields={"X": "\xe4"})),
    fields(
        "cookies in two lines",
        "RFC 9110 5.3",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        expect=Got(fields={"Set-Cookie": "a=1\nb=2"}),
    ),
    fields(
        "Connection names a field",
        "RFC 9110 7.6.1",
        "Connection: X-Secret",
        "X-Secret: 1",
        expect=Got(fields={"X-Secret": None, "Connection": None}),
    ),
    fields(
        "Keep-Alive",
        "RFC 9110 7.6.1",
        "Keep-Alive: timeout=5",
        "Connection: keep-alive",
        expect=Got(fields={"Keep-Alive": None}),
    ),
    fields(
        "Connection cannot take the length out",
        "RFC 9110 7.6.1",
        "Connection: content-length",
        expect=Got(fields={"Content-Length": "0"}),
    ),
    fields(
        "Upgrade in a 200 is for one hop",
        "llhttp response/connection",
        "Connection: upgrade",
        "Upgrade: h2c",
        expect=Got(fields={"Upgrade": None, "Connection": None}),
    ),
]
