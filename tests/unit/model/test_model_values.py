"""Weights, durations, fingerprints, sentences, errors: small values, each a table and a property."""

from __future__ import annotations

import contextlib
import copy
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.model.durations import format_time, parse_go_duration, parse_pause, parse_time, short
from coalmine.model.errors import SpecError, shown
from coalmine.model.fingerprint import fingerprint
from coalmine.model.reasons import SENTENCES, Reason, say
from coalmine.model.weights import Weight

# --- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "hundredths", "text"),
    [
        (0, 0, "0"),
        (20, 2000, "20"),
        (100, 10_000, "100"),
        (12.5, 1250, "12.5"),
        (0.01, 1, "0.01"),
        (99.99, 9999, "99.99"),
        ("20", 2000, "20"),
        (" 33.33 % ", 3333, "33.33"),
        ("50.00", 5000, "50"),
        ("1e1", 1000, "10"),
    ],
)
def test_weight_read_and_written(value: object, hundredths: int, text: str) -> None:
    weight = Weight.parse(value, "w")
    assert weight.hundredths == hundredths
    assert str(weight) == text
    assert Weight.parse(weight.percent, "w") == weight


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        {},
        "",
        "%",
        "a",
        "nan",
        "sNaN",
        "inf",
        float("nan"),
        float("inf"),
        -0.01,
        100.01,
        "0.001",
        20.005,
        "1e999999",
        "9" * 10000,
        "0." + "3" * 40,
        10**400,
        10**5000,
    ],
    ids=lambda v: shown(v),
)
def test_no_weight(value: object) -> None:
    with pytest.raises(SpecError) as caught:
        Weight.parse(value, "steps[0].setWeight")
    assert caught.value.path == "steps[0].setWeight"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("hundredths", [-1, 10_001])
def test_a_weight_cannot_be_invalid(hundredths: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        Weight(hundredths)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_weight_round_trip_and_pods(hundredths: int, replicas: int) -> None:
    weight = Weight(hundredths)
    assert Weight.parse(str(weight), "") == Weight.parse(weight.percent, "") == weight
    assert Weight.parse(json.loads(json.dumps(weight.percent)), "") == weight
    pods = weight.of(replicas)
    assert (pods - 1) * 10_000 < replicas * hundredths <= pods * 10_000, "rounded up, never more"


# --- durations -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    # the cases of Go's own TestParseDuration that are not negative and below a year
    [
        ("0", 0),
        ("5s", 5),
        ("30s", 30),
        ("1478s", 1478),
        ("+5s", 5),
        ("+0", 0),
        ("5.0s", 5),
        ("5.6s", 5.6),
        ("5.s", 5),
        (".5s", 0.5),
        ("1.0s", 1),
        ("1.00s", 1),
        ("1.004s", 1.004),
        ("10ns", 10e-9),
        ("11us", 11e-6),
        ("12µs", 12e-6),
        ("12μs", 12e-6),
        ("13ms", 0.013),
        ("14s", 14),
        ("15m", 900),
        ("16h", 57_600),
        ("3h30m", 12_600),
        ("10.5s4m", 250.5),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("0.100000000000000000000h", 360),
        ("0s", 0),
    ],
)
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_go_duration(text, "p") == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "3",
        "-",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "+",
        "++1s",
        "-5s",
        "1d",
        "1w",
        "1 s",
        " 1s",
        "1s ",
        "1.2.3s",
        "1e3s",
        "1S",
        "١s",
        "\x85\x85",
        "1m-5s",
        "1h1",
        "9999h",
        "9" * 500 + "s",
        5,
        5.5,
        None,
        True,
        [],
        {},
    ],
    ids=lambda v: shown(v),
)
def test_no_go_duration(value: object) -> None:
    with pytest.raises(SpecError) as caught:
        parse_go_duration(value, "interval")
    assert caught.value.path == "interval"


@pytest.mark.parametrize(("value", "seconds"), [(0, 0), (30, 30), ("30", 30), ("0030", 30), ("30s", 30), ("1h", 3600)])
def test_pauses(value: object, seconds: float) -> None:
    assert parse_pause(value, "p") == seconds


@pytest.mark.parametrize(
    "value",
    [-1, 10**400, 31_622_401, "31622401", "9" * 5000, 1.5, True, None, [], {}, "", "x", "²", "٣", "-5s", "1d"],
    ids=lambda v: shown(v),
)
def test_no_pause(value: object) -> None:
    with pytest.raises(SpecError) as caught:
        parse_pause(value, "duration")
    assert caught.value.path == "duration"
    assert len(str(caught.value)) < 300


@given(st.text(alphabet="0123456789.+-nsuµmhd ", max_size=12) | st.text(max_size=6))
def test_any_text_is_a_duration_or_a_spec_error(text: str) -> None:
    for read in (parse_go_duration, parse_pause):
        with contextlib.suppress(SpecError):
            assert read(text, "p") >= 0


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2020-04-25T09:40:32Z", 1587807632.0),
        ("2020-04-25T11:40:32+02:00", 1587807632.0),
        ("2020-04-25T09:40:32.250000Z", 1587807632.25),
    ],
)
def test_times(stamp: str, moment: float) -> None:
    assert parse_time(stamp) == moment


@pytest.mark.parametrize("stamp", ["", "soon", "2020-13-01T00:00:00Z", "2020-04-25", "2020-04-25T09:40:32"])
def test_no_time(stamp: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(stamp)


@given(st.floats(0, 4e9))
def test_a_time_that_was_written_once_stays(moment: float) -> None:
    written = format_time(moment)
    assert abs(parse_time(written) - moment) < 2e-6
    assert format_time(parse_time(written)) == written


@pytest.mark.parametrize(
    ("seconds", "text"),
    # the cases of TestHumanDuration in k8s.io/apimachinery; a negative age is 0s here
    [
        (-5, "0s"),
        (0, "0s"),
        (1, "1s"),
        (70, "70s"),
        (119.9, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (599, "9m59s"),
        (600, "10m"),
        (70 * 60, "70m"),
        (179 * 60, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 10 * 60, "3h10m"),
        (8 * 3600 - 1, "7h59m"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (7 * 86_400 + 23 * 3600, "7d23h"),
        (8 * 86_400, "8d"),
        (8 * 86_400 + 23 * 3600, "8d"),
        (367 * 86_400, "367d"),
        (4 * 365 * 86_400 + 37 * 3600, "4y1d"),
        (4 * 365 * 86_400, "4y"),
        (8 * 365 * 86_400 + 3 * 86_400, "8y"),
        (100 * 365 * 86_400, "100y"),
    ],
)
def test_ages_as_kubectl_prints_them(seconds: float, text: str) -> None:
    assert short(seconds) == text


# --- fingerprints ----------------------------------------------------------------------------------

TEMPLATE = {
    "metadata": {"labels": {"app": "colorapi", "coalmine.dev/sidecar": "true"}, "annotations": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 5000}]}], "x": None, "ü": "é"},
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(string.ascii_letters + "éß☃", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
_TEMPLATES = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"labels": st.dictionaries(st.sampled_from("pqr"), st.sampled_from("xy"), max_size=3)}
        ),
        "spec": st.dictionaries(st.text("abc", min_size=1, max_size=2), _JSON, max_size=4),
    }
)


def _reordered(value: object) -> object:
    if isinstance(value, dict):
        return {k: _reordered(v) for k, v in reversed(value.items())}
    return [_reordered(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["metadata"]["labels"].update({"pod-template-hash": "66f9756599"}),
        lambda t: t["metadata"].update(creationTimestamp=None),
    ],
    ids=["the hash label", "no creation time"],
)
def test_what_is_no_difference(change) -> None:  # type: ignore[no-untyped-def]
    changed = copy.deepcopy(TEMPLATE)
    change(changed)
    assert fingerprint(changed) == fingerprint(TEMPLATE)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["metadata"]["labels"].update(app="other"),
        lambda t: t["metadata"]["labels"].pop("coalmine.dev/sidecar"),
        lambda t: t["metadata"]["annotations"].update({"pod-template-hash": "x"}),
        lambda t: t["metadata"].update(creationTimestamp="2020-01-01T00:00:00Z"),
        lambda t: t["spec"]["containers"][0].update(image="i:2"),
        lambda t: t["spec"]["containers"][0]["ports"].append({}),
        lambda t: t["spec"].update(added=False),
        lambda t: t["spec"].pop("x"),
        lambda t: t.update(extra={}),
    ],
)
def test_what_is_a_difference(change) -> None:  # type: ignore[no-untyped-def]
    changed = copy.deepcopy(TEMPLATE)
    change(changed)
    assert fingerprint(changed) != fingerprint(TEMPLATE)


@given(_TEMPLATES, _TEMPLATES)
def test_one_fingerprint_exactly_when_equal(one: dict, other: dict) -> None:  # type: ignore[type-arg]
    hashed = copy.deepcopy(_reordered(one))
    hashed["metadata"]["labels"]["pod-template-hash"] = "h"  # type: ignore[index]
    assert fingerprint(hashed) == fingerprint(one)  # type: ignore[arg-type]
    # json tells 0 from false, and 1 from true, where Python's == does not
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) is same
    assert len(fingerprint(one)) == 16


def test_a_template_without_metadata_or_labels() -> None:
    bare = fingerprint({"spec": {}})
    assert fingerprint({"spec": {}, "metadata": {}}) == fingerprint({"spec": {}, "metadata": {"labels": {}}}) == bare


# --- sentences and errors --------------------------------------------------------------------------


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence_that_can_be_said(reason: Reason) -> None:
    fields = {name: f"<{name}>" for name in _fields(SENTENCES[reason])}
    sentence = say(reason, **fields)
    assert all(value in sentence for value in fields.values())
    assert "{" not in sentence
    for name in fields:
        with pytest.raises(KeyError, match=name):
            say(reason, **{k: v for k, v in fields.items() if k != name})


def test_reasons_are_fit_for_kubernetes() -> None:
    assert len({r.value for r in Reason}) == len(list(Reason))
    assert all(r.value.isalnum() and r.value[0].isupper() and len(r.value) <= 128 for r in Reason)


@pytest.mark.parametrize(
    ("error", "prefix", "text"),
    [
        (SpecError("steps[0]", "is bad", "mend it"), "root", "root.steps[0]: is bad; mend it"),
        (SpecError("[0].x", "is bad", "mend it"), "steps", "steps[0].x: is bad; mend it"),
        (SpecError("", "is bad", "mend it"), "root", "root: is bad; mend it"),
    ],
)
def test_errors_name_the_field(error: SpecError, prefix: str, text: str) -> None:
    assert str(error.under(prefix)) == text


def test_an_error_about_the_whole() -> None:
    assert str(SpecError("", "is bad", "mend it")) == "is bad; mend it"


@pytest.mark.parametrize("value", ["x" * 10_000, 10**10_000, ["y"] * 500], ids=["text", "number", "list"])
def test_what_is_quoted_is_short(value: object) -> None:
    assert len(shown(value)) <= 60
