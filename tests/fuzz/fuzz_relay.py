"""Fuzz the relay: the first byte says who speaks when, the rest is cut into what client and application write.

In no order of pieces and ends may the client get two answers for one request, or a truncated one that ends cleanly;
nothing may be left over, and no callback may raise.
"""

from __future__ import annotations

from collections.abc import Iterator

from fuzzing import fuzz

WORDS = [
    b"\xff",
    b"\xfe",
    b"\xfd",
    b"\xfc",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
    b"Content-Length: 3\r\n\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    b"Connection: close\r\n",
]
#: What a byte above 0xf7 begins: a piece of the client's or the application's, or an end.
CLIENT, ORIGIN, CLIENT_HALF, CLIENT_CLOSE, CLIENT_RESET, ORIGIN_CLOSE, ORIGIN_RESET, TIME = range(0xF8, 0x100)


def scene(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The steps that `data` spells."""
    step, piece = CLIENT, b""
    for byte in data:
        if byte >= CLIENT:
            yield step, piece
            step, piece = byte, b""
        else:
            piece += bytes([byte])
    yield step, piece


def one(data: bytes) -> None:
    """One scene."""
    from wire_oracle import judged
    from wire_play import Application, Played, clean, passed_on
    from wire_sidecar import MemorySidecar
    from wire_turns import Turns

    turns = Turns()
    application = Application(lambda message: ([], "keep"))
    with turns.running():
        sidecar = MemorySidecar(turns, application.accept)
        client = sidecar.client()
        turns.settle()
        for step, piece in scene(data):
            origin = application.connections[-1].end if application.connections else None
            if step == CLIENT:
                client.send(piece)
            elif step == ORIGIN and origin is not None and application.read:
                origin.send(piece)
            elif step == CLIENT_HALF:
                client.half_close()
            elif step == CLIENT_CLOSE:
                client.close()
            elif step == CLIENT_RESET:
                client.reset()
            elif step == ORIGIN_CLOSE and origin is not None:
                origin.close()
            elif step == ORIGIN_RESET and origin is not None:
                origin.reset()
            elif step == TIME:
                sidecar.pass_time(20.0)
            turns.settle()
        received, ended = bytes(client.received), client.ended
        client.close()
        turns.settle()
        left_over = sidecar.left_over()
    assert turns.errors == [], turns.errors
    assert left_over == [], left_over
    if any(passed_on(told.data) or b"\r\nUpgrade: " in told.data for told in application.connections):
        return
    played = Played(application, sidecar, received, ended, left_over, turns.errors)
    clean(played)
    if len(application.read) == 1 and not client.closed:
        judged(played, application.read[0].start[0], "keep")


def main() -> None:
    from wire_cases import ANSWERS

    seeds = [
        case.asked + bytes([ORIGIN]) + case.written + bytes([ORIGIN_CLOSE])
        for case in ANSWERS
        if len(case.written) < 300
    ]
    fuzz(one, seeds, WORDS, longest=800)


if __name__ == "__main__":
    main()
