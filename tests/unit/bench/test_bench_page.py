"""The page about the proxy has the figures of the results that are kept, and a part that was measured again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from bench import page
from bench.results import decode, encode, merged

ROOT = Path(__file__).parents[3]
RESULTS = decode((ROOT / "bench" / "results.json").read_text())


def test_the_page_has_the_figures_that_are_kept() -> None:
    written = (ROOT / "docs" / "proxy.md").read_text()
    assert page.replaced(written, RESULTS) == written, "run `python -m bench --draw`"


def test_a_page_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        page.replaced("figures", RESULTS)


def test_what_was_measured_again_replaces_what_stood() -> None:
    part = copy.deepcopy(RESULTS)
    part.workloads = {"small-64": part.workloads["small-512"]}
    part.memory, part.disturbances = {}, {}
    part.machine["rounds"] = "1 of 1 s"
    found = merged(RESULTS, part)
    assert found.workloads["small-64"] == RESULTS.workloads["small-512"]
    assert found.workloads["close-64"] == RESULTS.workloads["close-64"]
    assert found.memory == RESULTS.memory
    assert "1 of 1 s" in found.machine["rounds"]
    assert decode(encode(found, [])) == found


def test_figures_of_two_machines_do_not_stand_side_by_side() -> None:
    part = copy.deepcopy(RESULTS)
    part.machine["kernel"] = "another"
    with pytest.raises(ValueError, match="another kernel: measure everything anew"):
        merged(RESULTS, part)
