"""What `make bench-detectors` keeps and shows: figures, intervals, tables, pictures; without numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from bench.detectors import plot, table
from bench.detectors.results import FILE, Found, Results, decode, encode, merged

NEVER = math.inf


def test_figures_of_runs() -> None:
    found = Found.of([30.0, 10.0, 20.0, NEVER, -5.0], [3, 1, 2, 9, 7], [30, 10, 20, 90, 70])
    assert (found.runs, found.alarms, found.early) == (5, 3, 1)
    assert (found.seconds, found.bad, found.requests) == (30, 3, 30)
    assert found.rate == 0.8


def test_a_median_that_is_never() -> None:
    found = Found.of([NEVER, NEVER, 3.0], [5, 6, 1], [0, 0, 0])
    assert found.seconds is None
    assert found.seconds_high is None
    assert found.bad == 5


@pytest.mark.parametrize(
    ("alarms", "runs", "low", "high"), [(0, 2000, 0.0, 0.00192), (100, 2000, 0.04128, 0.06046), (50, 50, 0.92865, 1.0)]
)
def test_intervals_are_wilsons(alarms: int, runs: int, low: float, high: float) -> None:
    """Figures of statsmodels' proportion_confint(method="wilson")."""
    found = Found(runs, alarms, 0, None, None, None, 0.0, 0.0)
    assert found.interval == pytest.approx((low, high), abs=2e-5)


def sample() -> Results:
    rare, soon = Found.of([NEVER] * 99 + [4.0], [0.0] * 100, [1.0] * 100), Found.of([4.0] * 9, [2.0] * 9, [80.0] * 9)
    return Results(
        seed=1,
        kinds={"quiet": "null", "0.5 to 1 %": "errors", "late": "latency"},
        scenes={
            "quiet": {"ours": rare, "z, each second": soon},
            "0.5 to 1 %": {"ours": soon, "(1) alone": soon},
            "late": {"ours": soon, "p99 below 500 ms": Found.of([NEVER], [9.0], [9.0])},
        },
        proofs={
            "1 % against 0 %": {"within the difference": rare},
            "0 % against 0 %": {"within the ratio": soon} | {"within the difference": soon},
        },
    )


def test_results_are_read_back() -> None:
    assert decode(encode(sample())) == sample()


def test_scenes_that_are_measured_again_take_the_place_of_the_last() -> None:
    rare = sample().scenes["quiet"]["ours"]
    again = Results(1, {"late": "latency", "new": "null"}, {"late": {"ours": rare}, "new": {"ours": rare}}, {})
    order = ["new", *sample().scenes]
    whole = merged(sample(), again, order)
    assert list(whole.scenes) == order
    assert whole.scenes["late"] == {"ours": rare}
    assert whole.proofs == sample().proofs
    with pytest.raises(ValueError, match="seed 1"):
        merged(sample(), replace(again, seed=2), order)


def test_tables_go_where_the_last_ones_were() -> None:
    page = "before\n" + "".join(
        f"<!-- table of {name}: made by `make bench-detectors` -->\nold\n<!-- end of the table -->\n"
        for name in ("false alarms", "errors", "latency", "what it does not stand", "proofs")
    )
    made = table.replaced(page, sample())
    assert "old" not in made
    assert table.replaced(made, sample()) == made
    assert "| quiet | 1.0 (0.2 to 5.4) |" in made
    assert "| 0.5 to 1 % | 99 s; 24 | 4 s (4 to 4); 2 |" in made
    assert "never" in made
    with pytest.raises(ValueError, match="lacks the lines"):
        table.replaced("nothing", sample())


def test_pictures_are_svg_and_the_same_each_time() -> None:
    made = plot.draw(sample())
    assert made == plot.draw(sample())
    for picture in made.values():
        assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314


def test_the_page_and_the_pictures_are_made_of_the_results() -> None:
    results = decode(FILE.read_text())
    page = table.PAGE.read_text()
    assert table.replaced(page, results) == page
    for name, picture in plot.draw(results).items():
        assert (plot.FOLDER / name).read_text() == picture


def test_ours_holds_to_its_five_percent_in_every_scene_where_nothing_is_wrong() -> None:
    """Of the kept results; each scene has at least 2,000 runs."""
    results = decode(FILE.read_text())
    nulls = [results.scenes[scene]["ours"] for scene, kind in results.kinds.items() if kind == "null"]
    assert len(nulls) >= 13
    assert min(found.runs for found in nulls) >= 2000
    assert max(found.rate for found in nulls) <= 0.05


def test_nothing_that_a_threshold_catches_is_missed_or_found_later() -> None:
    results = decode(FILE.read_text())
    for scene, kind in results.kinds.items():
        found = results.scenes[scene]
        for name in ("success rate at least 99 %", "success rate at least 95 %", "p99 below 500 ms"):
            if kind in ("errors", "latency") and name in found and found[name].alarms:
                assert found["ours"].alarms + found["ours"].early == found["ours"].runs, scene
                assert (found["ours"].seconds or 0) < (found[name].seconds or math.inf), scene
