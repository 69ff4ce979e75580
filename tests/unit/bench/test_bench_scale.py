"""The bench of the controller: its faked sidecars answer as real ones, and its table is made of its results."""

from __future__ import annotations

from bench.scale.measure import quantile
from bench.scale.results import DOCUMENT, Result, load, store, table, write_table
from bench.scale.sidecars import Sidecars

from coalmine.model.weights import Weight
from coalmine.model.wire import CANARY, STABLE, Arm, Document, Routing, Version, decode_answer, encode


def test_the_table_in_the_document_is_made_of_the_results() -> None:
    results = load()
    assert results, "bench/scale/results.json is there"
    assert table(results) in DOCUMENT.read_text()


def test_a_faked_sidecar_asks_for_its_nonce_and_then_acknowledges() -> None:
    sidecars = Sidecars(pods={"10.0.0.1": ("uid-1", "ns/app")})
    configured: list[str] = []
    sidecars.on_configured = configured.append
    routing = Routing((Arm(STABLE, Weight(8000), ()), Arm(CANARY, Weight(2000), ())))
    status, body = sidecars.answer("10.0.0.1", encode(Document(Version(3, 1), "uid-1", "", routing)))
    first = decode_answer(body)
    assert (status, first.applied, configured) == (409, None, [])
    version = Version(3, 2)
    status, body = sidecars.answer("10.0.0.1", encode(Document(version, "uid-1", first.nonce, routing)))
    answer = decode_answer(body)
    assert (status, answer.applied, answer.pod, configured) == (200, version, "uid-1", ["uid-1"])
    assert list(sidecars.heard["ns/app", 20].answered) == ["uid-1"]


def test_a_size_that_is_measured_again_takes_the_place_of_the_last(tmp_path) -> None:
    file, document = tmp_path / "results.json", tmp_path / "scale.md"
    marks = "<!-- table: made by `make bench-scale` -->", "<!-- end of the table -->"
    document.write_text("\n".join(("before", marks[0], "an earlier one", marks[1], "after", "")))
    first, second = Result(100, 1, 1, *[1.0] * 10), Result(1000, 1, 1, *[1.0] * 10)
    store([second], "m", file)
    store([first], "m", file)
    store([Result(100, 7, 1, *[1.0] * 10)], "m", file)
    assert [(r.deployments, r.pods) for r in load(file)] == [(100, 7), (1000, 1)]
    write_table(load(file), document)
    text = document.read_text()
    assert "an earlier one" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| pods | 7 | 1 |" in text


def test_quantiles() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
