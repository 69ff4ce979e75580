"""Readiness: the API server has answered lately."""

from __future__ import annotations

import pytest

from coalmine.kube.calls import Call
from coalmine_controller.health import Health


@pytest.mark.parametrize(
    ("calls", "now", "ready"),
    [
        ([], 0.0, False),
        ([(1.0, 200)], 1.0, True),
        ([(1.0, 200)], 30.9, True),
        ([(1.0, 200)], 31.0, False),
        ([(1.0, 404)], 2.0, True),  # no Lease yet: the API server is there
        ([(1.0, 409)], 2.0, True),  # somebody else was faster
        ([(1.0, 0)], 2.0, False),  # nobody answered
        ([(1.0, 401)], 2.0, False),  # not our credentials any more
        ([(1.0, 500)], 2.0, False),
        ([(1.0, 200), (20.0, 503), (29.0, 0)], 30.0, True),
        ([(1.0, 200), (20.0, 503), (29.0, 0)], 32.0, False),
    ],
)
def test_ready(calls: list[tuple[float, int]], now: float, ready: bool) -> None:
    time = [0.0]
    seen: list[Call] = []
    health = Health(lambda: time[0], 30.0, seen.append)
    for at, status in calls:
        time[0] = at
        health.called(Call("Get", "leases", status, 0.01))
    time[0] = now
    assert health.ready is ready
    assert len(seen) == len(calls)
