"""What no table of messages can say: who speaks when. Early answers, held input, 1xx in time, retries, timeouts."""

from __future__ import annotations

import pytest
from wire_case import CLOSE, KEEP, RESET, answer, get, head
from wire_play import OK, Application, play
from wire_reading import answers, requests
from wire_sidecar import MemorySidecar
from wire_transport import End
from wire_turns import Turns

UPLOAD = head("POST / HTTP/1.1", "Host: a", "Content-Length: 300000")
TOO_LARGE = answer("Content-Length: 5", "Connection: close", first="HTTP/1.1 413 Too Large", body=b"large")


class Scene:
    """A sidecar, a client of it, and an application that answers when it is told to."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.connections: list[End] = []
        self.sidecar = MemorySidecar(self.turns, self.connections.append)
        self.client = self.sidecar.client()
        self.turns.settle()

    def says(self, data: bytes) -> None:
        self.client.send(data)
        self.turns.settle()

    def application(self, data: bytes, then: str = KEEP) -> None:
        """The newest connection to the application answers."""
        end = self.connections[-1]
        end.send(data)
        if then == CLOSE:
            end.close()
        elif then == RESET:
            end.reset()
        self.turns.settle()

    def got(self, *methods: bytes) -> list[int]:
        """The statuses of the whole answers that the client has."""
        found = answers(bytes(self.client.received), methods or (b"GET",), self.client.ended == "eof")
        return [message.status for message in found.messages]

    def ends(self) -> None:
        """The client goes; nothing may be left."""
        self.client.close()
        self.turns.settle()
        assert self.turns.errors == []
        assert self.sidecar.left_over() == []


@pytest.fixture
def scene() -> Scene:  # type: ignore[misc]
    scene = Scene()
    with scene.turns.running():
        yield scene
        scene.ends()


@pytest.mark.parametrize("then", [KEEP, CLOSE, RESET])
@pytest.mark.parametrize("more", [0, 1, 3])
def test_an_answer_that_overtakes_an_upload_is_not_lost(scene: Scene, then: str, more: int) -> None:
    scene.says(UPLOAD + b"x" * 1000)
    scene.connections[0].send(TOO_LARGE)  # no turn between: the client goes on writing
    if then == CLOSE:
        scene.connections[0].close()
    elif then == RESET:
        scene.connections[0].reset()
    for _ in range(more):
        scene.client.send(b"x" * 20_000)
    scene.turns.settle()
    assert scene.got(b"POST") == [413]
    assert scene.client.ended == "eof", "a reset would destroy the answer"


def test_an_answer_that_overtakes_an_upload_is_whole_though_the_client_goes_on(scene: Scene) -> None:
    scene.says(UPLOAD)
    scene.application(TOO_LARGE, CLOSE)
    for _ in range(10):
        scene.says(b"x" * 10_000)
    assert scene.got(b"POST") == [413]
    assert scene.client.ended == "eof"


def test_a_client_that_waits_for_100_gets_it_before_its_body(scene: Scene) -> None:
    scene.says(head("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3"))
    scene.application(answer(first="HTTP/1.1 100 Continue"))
    assert bytes(scene.client.received).startswith(b"HTTP/1.1 100 ")
    scene.says(b"abc")
    assert [message.body for message in requests(bytes(scene.connections[0].received)).messages] == [b"abc"]
    scene.application(OK)
    assert scene.got(b"POST") == [200]


def test_a_client_that_waits_for_100_and_is_refused_sends_no_body(scene: Scene) -> None:
    scene.says(head("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3"))
    scene.application(answer("Content-Length: 0", first="HTTP/1.1 417 No"))
    assert scene.got(b"POST") == [417]
    # What it sends now could be its body or its next request: so the connection ends.
    assert scene.client.ended == "eof"


def test_the_second_request_goes_out_after_the_first_answer(scene: Scene) -> None:
    scene.says(get(target="/1") + get(target="/2"))
    assert len(scene.connections) == 1
    assert len(requests(bytes(scene.connections[0].received)).messages) == 1
    scene.application(OK)
    assert len(requests(bytes(scene.connections[0].received)).messages) == 2
    scene.application(OK)
    assert scene.got(b"GET", b"GET") == [200, 200]


def test_input_that_nobody_reads_yet_is_held_and_no_more(scene: Scene) -> None:
    scene.says(get())
    for _ in range(100):
        scene.says(b"GET / HTTP/1.1\r\n" * 1000)
    assert scene.client.ended is None
    assert len(scene.connections[0].received) < 1000
    assert scene.client.unheard > 1_000_000
    scene.application(OK)
    assert scene.got(b"GET", b"GET") == [200, 431]


def test_a_kept_connection_that_died_costs_a_get_nothing(scene: Scene) -> None:
    scene.says(get())
    scene.application(OK)
    scene.connections[0].close()
    scene.says(get(target="/2"))  # before the loop knows of the close, or after: the client must not see it
    scene.application(OK)
    assert scene.got(b"GET", b"GET") == [200, 200]


def test_a_kept_connection_that_dies_before_its_answer_is_replaced_once(scene: Scene) -> None:
    scene.says(get())
    scene.application(OK)
    scene.says(get(target="/2"))
    scene.connections[0].reset()
    scene.turns.settle()
    assert len(scene.connections) == 2
    scene.connections[1].reset()
    scene.turns.settle()
    assert len(scene.connections) == 2, "it is sent twice, not three times"
    assert scene.got(b"GET", b"GET") == [200, 502]


def test_a_post_is_never_sent_twice(scene: Scene) -> None:
    scene.says(get())
    scene.application(OK)
    scene.says(head("POST / HTTP/1.1", "Host: a", "Content-Length: 0"))
    sent = len(scene.connections)
    scene.connections[-1].reset()
    scene.turns.settle()
    assert len(scene.connections) == sent
    assert scene.got(b"GET", b"POST") == [200, 502]


def test_no_answer_is_repeated_after_its_first_byte(scene: Scene) -> None:
    scene.says(get())
    scene.application(OK)
    scene.says(get(target="/2"))
    scene.application(b"H", RESET)
    assert len(scene.connections) == 1
    assert scene.got(b"GET", b"GET") == [200, 502]


def test_a_refused_connection_costs_nothing_when_the_next_is_taken(scene: Scene) -> None:
    scene.sidecar.connector.refuses = 1
    scene.says(get())
    assert scene.got() == [502], "there is one endpoint, and it refused"
    scene.says(get(target="/2"))
    scene.application(OK)
    assert scene.got(b"GET", b"GET") == [502, 200]


@pytest.mark.parametrize(
    ("sent", "seconds", "status"),
    [(b"GET / HT", 20, 408), (b"", 20, None), (get(), 700, 504), (UPLOAD, 700, 504)],
    ids=["half a head", "nothing", "no answer", "no body"],
)
def test_time_ends_what_does_not_go_on(scene: Scene, sent: bytes, seconds: float, status: int | None) -> None:
    scene.says(sent)
    scene.sidecar.pass_time(seconds)
    if sent == UPLOAD:
        # The client is the one that is silent: whether it is told is a matter of who is looked at first.
        assert scene.client.ended is not None
    else:
        assert scene.got() == ([] if status is None else [status])
        assert scene.client.ended == "eof"


def test_nothing_is_left_when_all_are_idle_for_long(scene: Scene) -> None:
    scene.says(get())
    scene.application(OK)
    scene.sidecar.pass_time(100.0)
    assert scene.client.ended == "eof"
    assert scene.connections[0].ended is not None


def test_a_client_that_does_not_read_stops_the_application(scene: Scene) -> None:
    scene.client.window = 100_000
    scene.says(get())
    scene.application(answer("Content-Length: 10000000"))
    sent = 0
    for _ in range(100):
        scene.application(b"x" * 100_000)
        sent += 100_000
    assert len(scene.client.received) == 100_000
    assert scene.client.ended is None
    scene.client.widen(None)
    scene.turns.settle()
    assert len(answers(bytes(scene.client.received), [b"GET"], False).messages) == 1
    assert sent == 10_000_000


def test_an_application_that_does_not_read_stops_the_client() -> None:
    application = Application()
    size = 600_000

    def narrow(turns: Turns, sidecar: MemorySidecar, client: End) -> None:
        end = application.connections[0].end
        end.window = 50_000
        for _ in range(30):
            client.send(b"x" * (size // 30))
            turns.settle()
        assert len(end.received) < 60_000
        end.widen(None)
        turns.settle()

    played = play([head("POST / HTTP/1.1", "Host: a", f"Content-Length: {size}")], CLOSE, application, narrow)
    assert played.errors == []
    assert played.left_over == []
    assert [len(message.body) for message in application.read] == [size]
    assert played.client.endswith(b"ok")


@pytest.mark.parametrize(
    "begins", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"], ids=["HTTP/2", "TLS"]
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_what_is_no_http_1_is_passed_on_unread(scene: Scene, begins: bytes, bytewise: bool) -> None:
    data = begins + bytes(range(256))
    for piece in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
        scene.says(piece)
    assert bytes(scene.connections[0].received) == data
    scene.application(b"\x00anything\r\n")
    assert bytes(scene.client.received) == b"\x00anything\r\n"
    scene.client.half_close()
    scene.turns.settle()
    assert scene.connections[0].ended == "eof"
    scene.connections[0].close()
    scene.turns.settle()
