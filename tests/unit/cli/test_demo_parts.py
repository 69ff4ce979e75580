"""The pure parts of the stage: what is said, what is counted, what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from demo_events import recording
from demo_replay import Replay
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.rollout import Phase, Replicas, Revision, Status
from coalmine.model.view import Kind, Mark, Node, View
from coalmine.model.weights import Weight
from coalmine_cli.fit import columns, text_of
from coalmine_cli.prune import pruned, size
from coalmine_cli.stage.chart import chart
from coalmine_cli.stage.frame import Scenery, frame, height
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.narrate import said
from coalmine_cli.stage.summary import summary
from coalmine_cli.stage.tally import WINDOW, Answers, Tally
from coalmine_cli.stage.teller import Act
from coalmine_sandbox.story.ledger import Step
from coalmine_sandbox.story.tale import Promise, Report
from coalmine_sandbox.story.traffic import Sample

INKS = [Ink(colour, symbols) for colour in (True, False) for symbols in (True, False)]
FIVE = Replicas(5, 5, 5, 5, 5)


def weight(percent: int) -> Weight:
    return Weight(percent * 100)


STABLE = Status(stable=Revision("s", "rs", 1, ("example/app:1.0",)), replicas=FIVE, attempt=1)
CANARY = replace(STABLE, phase=Phase.PROGRESSING, canary=Revision("c", "", 0, ("host:5000/app:2.0",)), steps=4)


@pytest.mark.parametrize(
    ("status", "beginning"),
    [
        (Status(), None),
        (replace(STABLE, replicas=Replicas(5, 3, 3, 3, 3)), None),
        (STABLE, "1.0 is stable: 5 pods"),
        (replace(STABLE, replicas=Replicas(1, 1, 1, 1, 1)), "1.0 is stable: one pod"),
        (replace(STABLE, phase=Phase.DEGRADED), None),
        (CANARY, "2.0 is held: the 5 pods of 1.0 keep all requests"),
        (replace(CANARY, weight=weight(20)), None),
        (
            replace(CANARY, phase=Phase.PAUSED, step=1, weight=weight(20), actual_weight=weight(20)),
            "Exactly 20 % of the requests go to 2.0",
        ),
        (replace(CANARY, step=2, weight=weight(20), actual_weight=weight(20)), "No objection at 20 %: more pods"),
        (replace(CANARY, step=4, weight=weight(50), actual_weight=weight(50)), "No objection at 50 %: as many pods"),
        (replace(CANARY, step=4, weight=weight(100), actual_weight=weight(100)), "All requests go to 2.0"),
        (replace(CANARY, step=4, handover_at=1.0), "The 5 pods of 2.0 become the Deployment's own"),
        (
            replace(CANARY, phase=Phase.DEGRADED, aborted_at=1.0, abort_message="canary aborted: too many errors"),
            "2.0 is taken back: too many errors. All requests go to 1.0",
        ),
        (replace(CANARY, phase=Phase.DEGRADED, aborted_at=1.0), "2.0 is taken back: it was aborted."),
    ],
)
def test_sentence(status: Status, beginning: str | None) -> None:
    sentence = said(status)
    assert (sentence.text if sentence else None) == beginning or (
        sentence and sentence.text.startswith(beginning or "?")
    )


def sample(at: float, colour: str) -> Sample:
    return Sample(at - 0.001, at, colour, "" if colour else "reset")


@given(st.lists(st.sampled_from(["red", "blue", ""]), max_size=3000), st.integers(1, 11))
@settings(max_examples=30)
def test_tally(colours: list[str], every: int) -> None:
    tally = Tally(every)
    tally.take(sample(n / 100, c) for n, c in enumerate(colours))
    answers = tally.answers()
    late = colours[-WINDOW:]
    assert dict(answers.recent) == {c: late.count(c) for c in set(late)}
    assert answers.total == len(colours)
    assert answers.failed == colours.count("")
    assert sum(sum(bucket.values()) for bucket in answers.history) == len(colours)
    assert answers.stream.count("") == min(colours.count(""), len(answers.stream)) or len(answers.stream) == 1200


def test_a_stay_counts_what_was_sent_and_answered_within_it() -> None:
    tally = Tally(1)
    tally.stay("2.0", weight(20), 1.0)
    inside = [sample(1.2, "red"), sample(1.4, "blue"), sample(1.6, "red")]
    tally.take([Sample(0.9, 1.1, "blue", ""), *inside])
    stay = tally.leave(1.8)
    assert stay is not None
    assert dict(stay.counts) == {"red": 2, "blue": 1}
    assert stay.first == ("red", "blue", "red")
    assert tally.leave(1.9) is None
    tally.take([Sample(1.7, 1.9, "blue", "")])
    here = tally.answers().stay
    assert here is not None
    assert here.requests == 3


def test_history_of_hours_is_bounded() -> None:
    tally = Tally(1)
    tally.take(sample(float(n), "red") for n in range(20_000))
    history = tally.answers().history
    assert len(history) < 2048
    assert sum(bucket["red"] for bucket in history) == 20_000


def views() -> list[View]:
    return [value for _, kind, value in recording() if kind == "view"]


@pytest.mark.parametrize("rows", range(1, 24))
def test_pruned_tree(rows: int) -> None:
    for view in views()[::7]:
        tree = pruned(view.tree, rows)
        assert size(tree) <= max(rows, 3)
        if size(view.tree) <= rows:
            assert tree == view.tree
        roles = [i for n in nodes(view.tree) if n.kind is Kind.REPLICA_SET for i in n.info]
        assert [i for n in nodes(tree) if n.kind is Kind.REPLICA_SET for i in n.info] == roles, "never left out"


def nodes(root: Node) -> list[Node]:
    return [root, *(found for child in root.children for found in nodes(child))]


def test_folded_pods_tell_the_worst() -> None:
    pods = tuple(Node(Kind.POD, f"p{n}", "Running", Mark.GOOD) for n in range(3))
    bad = Node(Kind.POD, "p3", "CrashLoopBackOff", Mark.BAD)
    tree = Node(Kind.ROLLOUT, "a", children=(Node(Kind.REPLICA_SET, "r", info=("canary",), children=(*pods, bad)),))
    line = pruned(tree, 3).children[0].children
    assert [(n.name, n.status, n.mark) for n in line] == [("4 pods", "CrashLoopBackOff (1)", Mark.BAD)]


@given(st.integers(20, 220), st.integers(4, 60), st.sampled_from(INKS), st.integers(0, 100))
@settings(max_examples=80, deadline=None)
def test_frame_is_as_large_as_asked(width: int, terminal: int, ink: Ink, at: int) -> None:
    scene = scenery(at)
    rows = height(terminal)
    lines = frame(scene, width, rows, ink)
    assert len(lines) == rows
    assert max(columns(text_of(line)) for line in lines) <= width


_SCENES: list[Scenery] = []


def scenery(at: int) -> Scenery:
    """A moment of the recorded run; `at` in percent."""
    if not _SCENES:
        replay = Replay(recording(), (120, 36), INKS[0])
        acts = (Act("one", "done"), Act("two", "on"), Act("three", "coming"))
        for now, _ in replay.chunks():
            live = replay.live
            answers, status = live._tally.answers(), live._status
            _SCENES.append(Scenery(acts, live._sentence, now, status, live._view, now, answers))
    return _SCENES[at * (len(_SCENES) - 1) // 100]


def test_frame_before_anything_is_known() -> None:
    empty = Scenery((), "", 0.0, Status(), None, 0.0, Answers())
    assert len(frame(empty, 80, 18, INKS[0])) == 18


@pytest.mark.parametrize("ink", INKS)
def test_chart(ink: Ink) -> None:
    history = [{"red": 4}, {"red": 4, "blue": 1}, {}, {"red": 1, "blue": 1}, {"blue": 2}]
    lines = [text_of(line) for line in chart(history, 5, 6, ink)][1:]
    if ink.colour and ink.symbols:
        assert lines == ["█████", "█████", "███▄█", "█████", "█████"]
    else:
        assert lines == ["RRRRB", "RRRRB", "RRRBB", "RRRBB", "RBBBB"]


def test_summary_names_what_was_not_kept() -> None:
    step = Step("example/app:2.0", weight(20), 1000, 300, 0, 100.0)
    promises = [Promise("one", True), Promise("two of three", False)]
    report = Report(steps=[step], promises=promises, requests=1000, failures=["ConnectionResetError"])
    for width in (100, 40):
        told = [text_of(line) for entry in summary(report, {}, width) for line in entry.lines(width, INKS[2])]
        assert "  ✖ 1 of 1,000 requests failed" in told
        assert "      two of three" in told
        assert any("2 promises: 1 kept" in line for line in told)
        assert any(line.startswith("  ✖ 2.0 blue") and "30.0 %" in line for line in told)
        assert max(map(len, told)) <= width
