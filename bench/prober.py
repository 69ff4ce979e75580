"""A steady, moderate load whose every request is timed: does something else that the proxy does show in it?

Rules:
- Requests are due at fixed times, whatever became of earlier ones: a proxy that stands still for 20 ms meets
  all requests of these 20 ms, as it would in production. There are connections enough for that.
- The prober shares a machine. As it wants to run every millisecond, it notices when it was not let; requests
  that are slow only by that time are counted apart (`excused`).
"""

from __future__ import annotations

import gc
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figures import quantile
from bench.processes import HOST, BenchError

#: Requests per second: a tenth of what a core serves, a busy pod's share.
RATE: Final = 3000
_CONNECTIONS: Final = 256
#: Seconds; slower than this is slow (the target's figure).
SLOW: Final = 0.005
#: Seconds between two looks at the clock: epoll's own resolution, and the prober must not spin
#: beside the origins. So requests go out three at a time.
_TICK: Final = 0.001
#: Seconds by which the prober itself must be late before it excuses anybody.
_LATE: Final = 0.001
#: How long answers are waited for after the last request.
_PATIENCE: Final = 2.0
_DIFFERENT: Final = 4096

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Probed:
    """One window. Latencies in microseconds; the counts are of requests slower than `SLOW`."""

    requests: int
    p50_us: float
    p99_us: float
    worst_us: float
    slow: int
    #: Of these, slow only because the prober itself was not let run.
    excused: int
    #: Of the rest, in flight during one of the disturbances.
    during: int
    #: Disturbances, and the longest of them in microseconds.
    disturbances: int
    longest_us: float

    @property
    def blamed(self) -> int:
        """Slow requests that the prober's own delays do not explain."""
        return self.slow - self.excused


def judge(taken: Sequence[Interval], late: Sequence[Interval], disturbances: Sequence[Interval]) -> Probed:
    """The figures of a window: requests, the prober's own delays, and disturbances, each from when to when."""
    if not taken:
        raise BenchError("the prober got no answer")
    micros = [(end - begin) * 1e6 for begin, end in taken]
    slow = [it for it in taken if it[1] - it[0] > SLOW]
    rest = [it for it in slow if it[1] - it[0] - sum(_common(it, other) for other in late) > SLOW]
    return Probed(
        requests=len(taken),
        p50_us=quantile(micros, 0.5),
        p99_us=quantile(micros, 0.99),
        worst_us=max(micros),
        slow=len(slow),
        excused=len(slow) - len(rest),
        during=sum(any(_meet(it, other) for other in disturbances) for it in rest),
        disturbances=len(disturbances),
        longest_us=max(((end - begin) * 1e6 for begin, end in disturbances), default=0.0),
    )


def _common(one: Interval, other: Interval) -> float:
    """Seconds that both last."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _meet(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def requests() -> list[bytes]:
    """Requests of about the size of wrk's, no two alike."""
    return [
        (
            f"GET /api/items/{i * 37:06d}?page={i % 19}&sort=price HTTP/1.1\r\nHost: shop.example\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
            "Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n"
            f"Cookie: session={i * 2654435761:032x}; theme=dark\r\n"
            f"traceparent: 00-{i * 40503 + 7:032x}-{i + 9:016x}-01\r\n\r\n"
        ).encode()
        for i in range(1, _DIFFERENT + 1)
    ]


def probe(port: int, seconds: float, end: bytes, clock: Callable[[], float]) -> tuple[list[Interval], list[Interval]]:
    """Send for some seconds; an answer is complete when it ends with `end`.

    Returns when each request was sent and answered, and when the prober was itself late. Raises
    BenchError when a connection is closed or an answer does not come, OSError when none can be opened.
    """
    wanted = requests()
    sockets: dict[int, socket.socket] = {}
    poll = select.epoll()
    free: deque[int] = deque()
    sent: dict[int, float] = {}
    taken: list[Interval] = []
    late: list[Interval] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(_CONNECTIONS):
            client = socket.create_connection((HOST, port), timeout=5)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            sockets[client.fileno()] = client
            poll.register(client.fileno(), select.EPOLLIN)
            free.append(client.fileno())
        start = clock()
        number, total = 0, int(seconds * RATE)
        while number < total or sent:
            now = clock()
            if now > start + seconds + _PATIENCE:
                raise BenchError(f"{len(sent)} requests of the prober were not answered")
            due = min(total, int((now - start) * RATE))
            while number < due and free:
                descriptor = free.popleft()
                sent[descriptor] = clock()
                sockets[descriptor].send(wanted[number % _DIFFERENT])
                number += 1
            before = clock()
            events = poll.poll(_TICK)
            now = clock()
            if now - before > _TICK + _LATE:
                late.append((before + _TICK, now))
            for descriptor, _ in events:
                data = sockets[descriptor].recv(65536)
                if not data:
                    raise BenchError("a connection of the prober was closed")
                if data.endswith(end):
                    taken.append((sent.pop(descriptor), clock()))
                    free.append(descriptor)
    finally:
        gc.enable()
        poll.close()
        for client in sockets.values():
            client.close()
    return taken, late
