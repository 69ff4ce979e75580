"""What holds for every byte that a client or an application may write: the oracle of the properties and of the fuzzers.

Requests: refused with a known status and the connection closed, or what the application gets is read alike by three
parsers; never one request more at the application than the client has been, or can be, answered. Answers: what the
client gets is read alike by three parsers, or is a reset.
"""

from __future__ import annotations

from wire_case import CLOSE, KEEP
from wire_parsers import answers_by_all
from wire_play import Application, Played, clean, passed_on, play
from wire_reading import Message

#: What a request may be refused with.
REFUSALS = frozenset({400, 405, 408, 414, 431, 501, 505})


def sent(pieces: list[bytes]) -> Played:
    """A client sent these pieces, and its connection stays open."""
    played = play(pieces)
    clean(played)
    data = b"".join(pieces)
    if passed_on(data) and played.application.connections:
        assert [told.data for told in played.application.connections] == [data]
        return played
    read = played.application.read
    methods = [message.start[0] for message in read]
    got = answers_by_all(played.client, (*methods, b"GET"), played.ended == "eof")
    assert not got.partial, "the client gets a part of an answer"
    statuses = [message.status for message in got.messages]
    if statuses and statuses[-1] != 200:
        assert statuses[-1] in REFUSALS, f"refused with {statuses[-1]}"
        assert played.ended == "eof", "refused, and the connection is open"
        statuses.pop()
    assert statuses == [200] * len(read), f"{len(read)} requests were read, and answered {statuses}"
    return played


def alike(one: Played, other: Played) -> None:
    """The same bytes in other pieces: the application reads the same. Of several faults another may be found first."""
    assert [(m.start, m.fields, m.body, m.trailers) for m in one.application.read] == [
        (m.start, m.fields, m.body, m.trailers) for m in other.application.read
    ], "the pieces make another request of it"
    assert one.ended == other.ended, "the pieces decide whether it is refused"


def written(pieces: list[bytes], then: str, asked: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> Played:
    """An application wrote these pieces, one a turn, and then closed, or did not."""
    application = Application(lambda message: ([], KEEP))

    def go_on(turns, sidecar, client) -> None:  # type: ignore[no-untyped-def]
        end = application.connections[0].end
        for piece in pieces:
            end.send(piece)
            turns.settle()
        if then == CLOSE:
            end.close()

    played = play([asked], application=application, then=go_on)
    assert played.errors == []
    assert played.left_over == []
    judged(played, asked.split(b" ", 1)[0], then)
    return played


def judged(played: Played, method: bytes, then: str) -> list[Message]:
    """What the client got is one whole answer, or a reset, or nothing yet."""
    got = answers_by_all(played.client, (method,), played.ended == "eof")
    if any(message.framing == "upgraded" for message in got.messages):
        return got.messages
    assert not got.rest or got.partial, "bytes follow the answer"
    if then == CLOSE and played.ended != "reset":
        assert got.messages, "the application is gone, and the client waits"
        assert not got.partial, "a part of an answer ends cleanly"
    if not got.messages:
        assert played.ended != "eof", "the connection was closed without an answer"
    return got.messages
