"""Counters, their sum over workers, and what a scrape shows of them."""

from __future__ import annotations

import re

import pytest

from coalmine.model import wire
from coalmine_proxy import exposition, stats
from coalmine_proxy.observer import Sizes
from coalmine_proxy.stats import CONNECT, RESET, Stats

STATE = exposition.State(wire.Version(3, 4), ready=True)
WORKLOAD = exposition.Workload("color", "demo", "abc", {"stable": "abc", "control": "abc", "canary": "def"})


def counted() -> Stats:
    counted = Stats()
    arm = counted.arm("canary")
    arm.shared.answered(200, 0.5)
    arm.shared.answered(204, 4.0)
    arm.shared.answered(503, 100_000.0)
    arm.shared.failures[RESET] += 1
    arm.outside.answered(418, 1.0)
    arm.outside.failures[CONNECT] += 1
    arm.in_flight += 3
    counted.refused[400] = 5
    return counted


def test_what_goes_to_the_controller() -> None:
    counters = counted().counters()["canary"]
    assert counters.requests == (0, 2, 0, 0, 1)
    assert counters.latency[0] == 1  # half a millisecond is within the first edge
    assert counters.latency[2] == 1
    assert counters.latency[-1] == 1
    assert counters.latency_ms == pytest.approx(100_004.5)
    assert (counters.failures[RESET], counters.failures[CONNECT]) == (1, 0)
    assert (counters.pinned, counters.total) == (2, 3)


def test_a_scrape() -> None:
    page = exposition.text(counted().snapshot(), STATE)
    for line in (
        'coalmine_requests_total{arm="canary",code="200"} 1',
        'coalmine_requests_total{arm="canary",code="503"} 1',
        'coalmine_requests_total{arm="local",code="500"} 0',  # shown from the start
        'coalmine_attempt_failures_total{arm="canary",cause="reset"} 1',
        'coalmine_pinned_requests_total{arm="canary",code="418"} 1',
        'coalmine_pinned_attempt_failures_total{arm="canary",cause="connect"} 1',
        'coalmine_request_duration_seconds_bucket{arm="canary",le="0.005"} 2',
        'coalmine_request_duration_seconds_bucket{arm="canary",le="+Inf"} 3',
        'coalmine_request_duration_seconds_sum{arm="canary"} 100.004500',
        'coalmine_requests_in_flight{arm="canary"} 3',
        'coalmine_refused_total{code="400"} 5',
        "coalmine_config_counter 4",
        "coalmine_ready 1",
    ):
        assert line in page.splitlines()
    assert "istio" not in page


def test_every_page_is_in_the_format_of_prometheus() -> None:
    seen = counted()
    seen.arm('ca"na\\ry\n').connections["tls"] += 1
    page = exposition.text(seen.snapshot(), STATE, WORKLOAD)
    assert page.endswith("\n")
    families = re.findall(r"^# TYPE (\w+) (counter|gauge|histogram)$", page, re.MULTILINE)
    assert len(families) == len(set(families))
    names = {name for name, _ in families}
    series = [line for line in page.splitlines() if not line.startswith("#")]
    assert len({line.rpartition(" ")[0] for line in series}) == len(series)  # none twice
    for line in series:
        match = re.fullmatch(r'(\w+?)(_bucket|_sum|_count)?(\{(\w+="([^"\\]|\\.)*",?)+\})? [0-9.e+]+', line)
        assert match, line
        assert match[1] in names or match[1] + (match[2] or "") in names
    assert r'coalmine_connections_total{arm="ca\"na\\ry\n",protocol="tls"} 1' in page


def test_istio_s_names_say_what_our_own_say() -> None:
    seen = counted()
    seen.arm("stable").shared.answered(200, 2.0)
    seen.arm("control").shared.answered(200, 2.0)
    sizes = Sizes()
    sizes.add(700)
    page = exposition.text(seen.snapshot() | {"responseBytes": {"canary": sizes.snapshot()}}, STATE, WORKLOAD)
    common = (
        'reporter="destination",request_protocol="http"'
        ',destination_workload="color",destination_workload_namespace="demo"'
    )
    canary, stable = f'{common},destination_version="def"', f'{common},destination_version="abc"'
    for line in (
        f'istio_requests_total{{{canary},response_code="503",response_flags="-"}} 1',
        f'istio_requests_total{{{canary},response_code="418",response_flags="-"}} 1',  # pinned ones are requests too
        f'istio_requests_total{{{canary},response_code="502",response_flags="UC"}} 1',
        f'istio_requests_total{{{canary},response_code="502",response_flags="UF"}} 1',
        f'istio_requests_total{{{stable},response_code="200",response_flags="-"}} 2',  # control is stable's version
        f'istio_request_duration_milliseconds_bucket{{{stable},le="5"}} 2',
        f"istio_request_duration_milliseconds_count{{{canary}}} 4",
        f'istio_response_bytes_bucket{{{canary},le="1000"}} 1',
        f"istio_response_bytes_sum{{{canary}}} 700",
    ):
        assert line in page.splitlines(), line


def test_workers_are_one_for_the_outside() -> None:
    one, other = counted(), counted()
    other.arm("new").shared.answered(200, 1.0)
    total = stats.added([one.snapshot(), other.snapshot(), Stats().snapshot()])
    assert total["arms"]["canary"]["shared"]["codes"] == {"200": 2, "204": 2, "503": 2}
    assert total["arms"]["canary"]["inFlight"] == 6
    assert total["arms"]["new"] == other.arm("new").snapshot()
    assert total["refused"] == {"400": 10}
    assert stats.counters(total)["canary"].requests == (0, 4, 0, 0, 2)
