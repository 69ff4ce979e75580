"""Fuzz what a client sends: heads above all. Whole and byte by byte, read by three parsers at the application."""

from __future__ import annotations

from fuzzing import fuzz

WORDS = [
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"Host: a\r\n",
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.0",
    b"Connection: close\r\n",
    b"Connection: ",
    b"Upgrade: websocket\r\n",
    b"0\r\n\r\n",
    b"http://",
    b" :",
    b"\r\n ",
    b"TE: trailers\r\n",
]


def one(data: bytes) -> None:
    """One connection's bytes."""
    import wire_oracle

    whole = wire_oracle.sent([data])
    if len(data) < 300:
        wire_oracle.alike(whole, wire_oracle.sent([data[i : i + 1] for i in range(len(data))]))


def main() -> None:
    from wire_cases import REQUESTS

    fuzz(one, [case.sent for case in REQUESTS if len(case.sent) < 600], WORDS)


if __name__ == "__main__":
    main()
