"""Plays a case on connections in memory, in any pieces and cut anywhere, and judges what came of it.

What a cut must come to is derived, not written down: no request is completed that the client did not complete, no
answer ends cleanly that the application did not end, and nothing is left over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wire_case import ABORTED, BROKEN, CLOSE, KEEP, RESET, AnswerCase, Got, RequestCase, Seen
from wire_parsers import answers_by_all, requests_by_all
from wire_reading import Disagreement, Message, Stream, answers, requests
from wire_sidecar import MemorySidecar
from wire_transport import End
from wire_turns import Turns

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_HEAD = OK[:-2]
#: HTTP/2's preface (RFC 9113 3.4), or a TLS record with a ClientHello in it (RFC 8446 5.1).
_NOT_HTTP_1 = re.compile(rb"PRI \* HTTP/2\.0\r\n\r\nSM\r\n\r\n|\x16\x03[\x00-\x04]..\x01", re.DOTALL)


@dataclass
class Told:
    """One connection to the application: what it got, and how that ended."""

    end: End
    answered: int = 0

    @property
    def data(self) -> bytes:
        return bytes(self.end.received)


class Application:
    """Reads requests strictly and answers each with `reply`: bytes, and what to do after them."""

    def __init__(self, reply: Callable[[Message], tuple[Iterable[bytes], str]] | None = None) -> None:
        self.connections: list[Told] = []
        #: Every whole request, in the order in which they came.
        self.read: list[Message] = []
        self.faults: list[Disagreement] = []
        self._reply = reply or _ok

    def accept(self, end: End) -> None:
        told = Told(end)
        self.connections.append(told)
        end.noticed = lambda: self._noticed(told)

    def _noticed(self, told: Told) -> None:
        if passed_on(told.data):
            if told.end.ended and not told.end.closed:
                told.end.close()
            return
        try:
            found = requests(told.data) if not _tunnelled(told.data) else _one(told.data)
        except Disagreement as error:
            self.faults.append(error)
            told.end.reset()
            return
        for message in found.messages[told.answered :]:
            told.answered += 1
            self.read.append(message)
            pieces, then = self._reply(message)
            for piece in pieces:
                told.end.send(piece)
            if then == CLOSE:
                told.end.close()
            elif then == RESET:
                told.end.reset()
        if told.end.ended and not told.end.closed:
            told.end.close()


def _ok(message: Message) -> tuple[Iterable[bytes], str]:
    return [OK_HEAD if message.start[0] == b"HEAD" else OK], KEEP


def passed_on(data: bytes) -> bool:
    """The connection begins as HTTP/2 or TLS does: such are passed through unread."""
    return _NOT_HTTP_1.match(data) is not None


def _tunnelled(data: bytes) -> bool:
    return b"\r\nUpgrade: " in data


def _one(data: bytes) -> Stream:
    end = data.find(b"\r\n\r\n") + 4
    return requests(data[:end]) if end >= 4 else Stream()


@dataclass
class Played:
    """What came of it."""

    application: Application
    sidecar: MemorySidecar
    client: bytes
    ended: str | None
    left_over: list[str]
    errors: list[object]
    #: After each piece: whole requests that the application had, and bytes that the client had.
    after: list[tuple[int, int]] = field(default_factory=list)


def play(
    pieces: Iterable[bytes],
    finish: str = CLOSE,
    application: Application | None = None,
    then: Callable[[Turns, MemorySidecar, End], None] | None = None,
) -> Played:
    """Send the pieces, each on a turn of its own; look; `finish` the client's connection; look what is left.

    `then` goes on with the scene before the look.
    """
    turns = Turns()
    application = application or Application()
    with turns.running():
        sidecar = MemorySidecar(turns, application.accept)
        client = sidecar.client()
        turns.settle()
        after = []
        for piece in pieces:
            client.send(piece)
            turns.settle()
            after.append((len(application.read), len(client.received)))
        if then is not None:
            then(turns, sidecar, client)
            turns.settle()
        if finish == "half":
            client.half_close()
            turns.settle()
        received, ended = bytes(client.received), client.ended
        if finish == RESET:
            client.reset()
        else:
            client.close()
        turns.settle()
        left_over = sidecar.left_over()
    return Played(application, sidecar, received, ended, left_over, turns.errors, after)


# --- request cases ---


def judge_request(case: RequestCase, played: Played) -> None:
    """The whole case was sent, in whatever pieces."""
    accepted = [item for item in case.expect if isinstance(item, Seen)]
    refused = [item for item in case.expect if isinstance(item, int)]
    clean(played)
    read = played.application.read
    assert [message.start for message in read] == [
        (item.method.encode(), item.target.encode("latin-1")) for item in accepted
    ], "the application reads other requests"
    for item, message in zip(accepted, read, strict=True):
        matches(item, message)
    methods = [item.method.encode() for item in accepted] + [b"GET"] * len(refused)
    got = answers_by_all(played.client, tuple(methods), played.ended == "eof")
    statuses = [message.status for message in got.messages]
    assert statuses == [200] * len(accepted) + refused, f"the client reads {statuses}"
    assert not got.partial
    if refused:
        assert got.messages[-1].values(b"connection") == [b"close"]
    closes = bool(refused) or (bool(accepted) and accepted[-1].close)
    assert played.ended == ("eof" if closes else None), f"the client's connection is {played.ended or 'open'}"


def judge_cut_request(case: RequestCase, played: Played, completed: int) -> None:
    """The client went away; until then it had `completed` so many requests."""
    clean(played)
    read = played.application.read
    assert len(read) <= completed, "the application reads a request that the client did not complete"
    for item, message in zip([item for item in case.expect if isinstance(item, Seen)], read, strict=False):
        matches(item, message)
    methods = [message.start[0] for message in read] + [b"GET"]
    got = answers(played.client, methods, played.ended == "eof")
    own = [message for message in got.messages if message.status >= 400]
    assert len(got.messages) <= len(read) + 1
    assert len(own) <= 1


def matches(item: Seen, message: Message) -> None:
    """The application reads this request as the case says, and nothing that belongs to another hop."""
    assert message.start == (item.method.encode(), item.target.encode("latin-1"))
    assert message.body == item.body
    _fields(item.fields, message.fields)
    assert message.trailers == tuple((k.encode(), v.encode("latin-1")) for k, v in item.trailers.items())
    names = [name for name, _ in message.fields]
    assert names.count(b"host") == 1
    assert not {b"keep-alive", b"proxy-connection", b"http2-settings"} & set(names)
    assert message.values(b"te") in ([], [b"trailers"])
    # What is true of this hop as well may go on as it came: nothing is named in it.
    assert set(message.values(b"connection")) <= {b"keep-alive", b"Upgrade", b"TE"}
    assert message.values(b"via")[-1:] == [b"1.1 coalmine"]


def clean(played: Played) -> None:
    """What holds whatever was sent."""
    assert played.errors == []
    assert played.application.faults == []
    assert played.left_over == []
    for told in played.application.connections:
        if passed_on(told.data):
            continue
        if told.end.ended == "reset" or _tunnelled(told.data):
            found = _one(told.data) if _tunnelled(told.data) else requests(told.data)
        else:
            found = requests_by_all(told.data)
        assert not found.partial or told.end.ended or told.end.closed, "half a request waits at the application"


def _fields(wanted: dict[str, str | None], fields: tuple[tuple[bytes, bytes], ...]) -> None:
    for name, value in wanted.items():
        found = [text.decode("latin-1") for key, text in fields if key == name.lower().encode("latin-1")]
        assert found == ([] if value is None else value.split("\n")), f"{name}: {found}"


# --- answer cases ---

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def writes(case: AnswerCase, pieces: Iterable[bytes], then: str) -> Application:
    """An application that answers the first request with the case, and all others with 200."""
    first = [True]

    def reply(message: Message) -> tuple[Iterable[bytes], str]:
        if message.start[1] != b"/next" and first:
            first.clear()
            return pieces, then
        return _ok(message)

    return Application(reply)


def judge_answer(case: AnswerCase, played: Played) -> None:
    """The whole case was written, in whatever pieces."""
    got = _read(case, played)
    expect = case.expect
    if expect == ABORTED or (expect == BROKEN and not got.messages):
        assert played.ended == "reset"
        assert got.partial
        assert not got.messages
        return
    if isinstance(expect, int) or expect == BROKEN:
        assert [message.status for message in got.messages] == [502 if expect == BROKEN else expect]
        assert not got.partial
        return
    assert isinstance(expect, Got)
    assert len(got.messages) == 1, f"the client reads {len(got.messages)} answers"
    _is(expect, got.messages[0])
    if expect.status == 101:
        assert got.rest == expect.tunnel
    assert played.ended == ("eof" if expect.close else None), f"the client's connection is {played.ended or 'open'}"


def judge_cut_answer(case: AnswerCase, played: Played, whole: bool) -> None:
    """The application went away; `whole`: the answer was complete by then."""
    got = _read(case, played)
    if got.messages and not whole:
        assert got.messages[-1].status == 502, "a truncated answer ends cleanly"
        assert not got.partial
    elif not got.messages:
        assert got.partial, "the client gets no answer"
        assert played.ended == "reset", "a truncated answer ends cleanly"


def judge_closed_answer(case: AnswerCase, played: Played) -> None:
    """An answer that ends with its connection, and that was closed early: what came is the whole."""
    got = _read(case, played)
    assert len(got.messages) == 1
    message = got.messages[0]
    assert message.status == 502 or case.written.split(b"\r\n\r\n", 1)[1].startswith(message.body)


def _read(case: AnswerCase, played: Played) -> Stream:
    clean(played)
    method = case.asked.split(b" ", 1)[0]
    return answers_by_all(played.client, (method,), played.ended == "eof")


def _is(expect: Got, message: Message) -> None:
    assert message.status == expect.status
    assert message.body == expect.body
    assert tuple(status for status, _ in message.interim) == expect.interim
    _fields(expect.fields, message.fields)
    assert message.trailers == tuple((k.encode(), v.encode("latin-1")) for k, v in expect.trailers.items())
    names = {name for name, _ in message.fields}
    assert not {b"keep-alive", b"proxy-connection", b"te"} & names
