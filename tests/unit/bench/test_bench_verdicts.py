"""Results: judged, written, read, drawn; and the documents that are pushed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from bench import documents, origin, plot, results, table, targets
from bench.accounting import Memory
from bench.figures import Round
from bench.memory import Held
from bench.prober import Probed
from bench.workloads import WORKLOADS

from coalmine.model import wire

ROUND = Round(5.0, 15.0, 40_000.0, 1_500.0, 3_000.0, 9_000.0, 0.0, 16_000_000, 12_000_000, 0, 10.0, 11.0, 0.9, 0.8, 0.0)
CALM = Probed(6_000, 300.0, 700.0, 2_000.0, 0, 0, 0, 0, 0.0)


def measured(cpu: float = 1.0, p99: float = 1.0, per_gb: float = 1.0) -> results.Results:
    """A complete run in which the sidecar costs so many times what the others do."""
    found = results.Results(machine={"date": "2026-01-01 00:00 UTC", "processor": "A & B"})
    for workload in WORKLOADS:
        theirs = replace(ROUND, cpu_per_gb=1.0 if workload.body else 0.0)
        ours = replace(
            theirs, user_us=5 * cpu, system_us=15 * cpu, p99_us=3_000 * p99, cpu_per_gb=theirs.cpu_per_gb * per_gb
        )
        direct = replace(theirs, user_us=0.0, system_us=0.0, p50_us=50.0, p99_us=90.0)
        found.workloads[workload.name] = {
            "direct": [direct] * 3,
            "nginx": [theirs] * 3,
            "haproxy": [theirs] * 3,
            "coalmine": [ours] * 3,
        }
    held = Held(Memory(36_000_000, 20_000_000), Memory(41_000_000, 30_000_000))
    found.memory = {"nginx": held, "haproxy": held, "coalmine": held}
    for name in ("scrape", "push", "push-1mb"):
        found.disturbances[name] = {"quiet": [CALM] * 3, name: [CALM] * 3}
    return found


def failed(found: results.Results) -> list[str]:
    return [verdict.target for verdict in targets.verdicts(found) if verdict.reached is False]


def test_all_targets_are_reached() -> None:
    verdicts = targets.verdicts(measured(0.9))
    assert len(verdicts) == 4 * 3 + 1 + 3 + 2 + 3
    assert all(verdict.reached for verdict in verdicts)
    assert "0.90 x (18.0 to 20.0)" in str(verdicts[0])


@pytest.mark.parametrize(
    ("found", "count", "part"),
    [
        (measured(cpu=1.1), 4, "nginx"),
        (measured(cpu=1.2), 8, "CPU per request"),
        (measured(cpu=1.35), 9, "CPU per request"),
        (measured(p99=1.25), 4, "p99"),
        (measured(per_gb=1.6), 3, "CPU per GB"),
    ],
)
def test_a_target_that_is_missed_is_named(found: results.Results, count: int, part: str) -> None:
    missed = failed(found)
    assert len(missed) == count
    assert all(part in target for target in missed)


def test_too_much_memory() -> None:
    found = measured()
    found.memory["coalmine"] = Held(Memory(40_000_001, 0), Memory(50_000_001, 0))
    assert len([target for target in failed(found) if "memory" in target]) == 2


def test_a_disturbance_is_judged_by_the_median_window() -> None:
    """One wild window is the machine's, most windows are the sidecar's."""
    found = measured()
    slow = replace(CALM, slow=40, excused=3, worst_us=120_000.0)
    found.disturbances["push"] = {"quiet": [CALM] * 3, "push": [slow, CALM, CALM]}
    found.disturbances["push-1mb"] = {"quiet": [CALM] * 3, "push-1mb": [slow, slow, CALM]}
    missed = [verdict for verdict in targets.verdicts(found) if verdict.reached is False and "push" in verdict.target]
    assert len(missed) == 1
    assert missed[0].figure == "37 of 6,000 in the median window (0 without), slowest 120.0 ms (2.0 without)"


@pytest.mark.parametrize(("before", "slow", "reached"), [(6, 6, True), (6, 7, False), (7, 7, None), (50, 101, False)])
def test_a_noisy_machine_cannot_say_reached(before: int, slow: int, reached: bool | None) -> None:
    found = measured()
    windows = {"quiet": [replace(CALM, slow=before)], "scrape": [replace(CALM, slow=slow)]}
    found.disturbances["scrape"] = windows
    verdict = next(verdict for verdict in targets.verdicts(found) if "scrape" in verdict.target)
    assert verdict.reached is reached


def test_nothing_measured_is_no_verdict() -> None:
    verdicts = targets.verdicts(results.Results())
    assert {verdict.reached for verdict in verdicts} == {None}
    assert str(verdicts[0]) == "open: small-64, CPU per request at most 1.15 x haproxy's: not measured"


def test_what_is_added_to_a_direct_connection() -> None:
    lines = targets.additions(measured())
    assert len(lines) == 9
    assert lines[2] == "idle-1: coalmine adds 20 us of CPU to a request, +1,450 us to p50 (50), +2,910 us to p99 (90)"


def test_results_are_read_as_they_were_written() -> None:
    found = measured(1.1, 1.2, 1.3)
    again = results.decode(results.encode(found, ["a verdict"]))
    assert again.workloads.keys() == found.workloads.keys()
    assert again.memory == found.memory
    assert again.disturbances == found.disturbances
    assert [str(v) for v in targets.verdicts(again)] == [str(v) for v in targets.verdicts(found)]


def test_the_picture_is_well_formed_and_shows_every_workload() -> None:
    drawn = plot.draw(measured())
    root = ET.fromstring(drawn)  # noqa: S314  our own
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"small-1", "idle-512", "close-64", "100 KB answers", "10 MB uploads", "1,000 idle clients"} <= texts
    assert any("A & B" in text for text in texts if text)


def test_the_picture_of_a_part() -> None:
    found = measured()
    del found.workloads["small-64"]["nginx"], found.workloads["idle-1"]
    found.memory.clear()
    ET.fromstring(plot.draw(found))  # noqa: S314  our own


def test_remarks_tell_what_limits_the_figures() -> None:
    assert table.remarks([ROUND]) == []
    assert table.remarks([replace(ROUND, errors=2, load_core_busy=0.97)] * 3) == ["6 errors", "load full"]


@pytest.mark.parametrize("large", [False, True])
def test_documents_are_valid_and_as_large_as_they_should_be(large: bool) -> None:
    bodies = [documents.document(number, "f" * 32, 65_535, large) for number in (1, 2, 999)]
    for body in bodies:
        assert len(body) <= wire.MAX_DOCUMENT
        assert (len(body) > wire.MAX_DOCUMENT * 0.99) is large
        served = [arm for arm in wire.decode(body).routing.arms if arm.share.hundredths]
        assert sum(len(arm.endpoints) for arm in served) == len(origin.PEERS) == 30
    shares = {tuple(arm.share for arm in wire.decode(body).routing.arms) for body in bodies}
    assert len(shares) == 3


def test_every_uid_is_as_long_as_a_real_one() -> None:
    assert {len(origin.uid(address)) for address in origin.PEERS} == {36}
