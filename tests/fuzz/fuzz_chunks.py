"""Fuzz chunked bodies, of requests and of answers: the same bytes behind a good head, on both ways."""

from __future__ import annotations

from fuzzing import fuzz

WORDS = [
    b"\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"3\r\nabc\r\n",
    b";a=b",
    b"ffffffffffffffff",
    b"X: y\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\n",
    b" ",
]
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def one(data: bytes) -> None:
    """One body, and whatever follows it."""
    import wire_oracle

    whole = wire_oracle.sent([REQUEST + data])
    wire_oracle.alike(whole, wire_oracle.sent([REQUEST, *[data[i : i + 1] for i in range(len(data))]]))
    wire_oracle.written([ANSWER + data], "close")
    wire_oracle.written([ANSWER, *[data[i : i + 3] for i in range(0, len(data), 3)]], "keep")


def main() -> None:
    from wire_cases import REQUESTS

    bodies = [
        case.sent.partition(b"chunked\r\n\r\n")[2] for case in REQUESTS if b"Encoding: chunked\r\n\r\n" in case.sent
    ]
    fuzz(one, [body for body in bodies if 0 < len(body) < 300], WORDS, longest=300)


if __name__ == "__main__":
    main()
