"""The strategy in the annotation: what is accepted, what is refused and how, and that nothing else comes out."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.errors import SpecError
from coalmine.model.strategy import (
    MAX_STEPS,
    Argument,
    BackgroundAnalysis,
    Pause,
    SetWeight,
    Strategy,
    TemplateRef,
    is_off,
    parse_strategy,
)
from coalmine.model.weights import Weight
from coalmine.model.yaml_text import MAX_TEXT

ARTICLE = """
steps:
- setWeight: 20
- pause:
    duration: "30s"
- setWeight: 50
- pause:
    duration: "30s"
"""
ARTICLE_STEPS = (SetWeight(Weight(2000)), Pause(30.0), SetWeight(Weight(5000)), Pause(30.0))
ARTICLE_ANALYSIS = """
analysis:
  templates:
  - templateName: webcheck
  args:
  - name: host
    value: colorapi
"""
WEBCHECK = BackgroundAnalysis((TemplateRef("webcheck"),), (Argument("host", "colorapi"),))

ACCEPTED = {
    "the article's steps": (ARTICLE, Strategy(ARTICLE_STEPS)),
    "the article's analysis": (ARTICLE_ANALYSIS + ARTICLE, Strategy(ARTICLE_STEPS, WEBCHECK)),
    "as JSON": (json.dumps(yaml.safe_load(ARTICLE)), Strategy(ARTICLE_STEPS)),
    "no steps": ("steps: []", Strategy()),
    "steps left empty": ("steps:", Strategy()),
    "nothing": ("{}", Strategy()),
    "pause for a person": ("steps: [pause: {}, pause:]", Strategy((Pause(None), Pause(None)))),
    "pause in whole seconds": ("steps: [pause: {duration: 30}]", Strategy((Pause(30.0),))),
    "pause in quoted seconds": ('steps: [pause: {duration: "30"}]', Strategy((Pause(30.0),))),
    "pause in parts": ("steps: [pause: {duration: 1m30s}]", Strategy((Pause(90.0),))),
    "pause of nothing": ("steps: [pause: {duration: 0}]", Strategy((Pause(0.0),))),
    "no duration": ("steps: [pause: {duration: }]", Strategy((Pause(None),))),
    "weight with decimals": ("steps: [setWeight: 0.25]", Strategy((SetWeight(Weight(25)),))),
    "weight in quotes": ("steps: [setWeight: '12.5%']", Strategy((SetWeight(Weight(1250)),))),
    "weights at the ends": (
        "steps: [setWeight: 0, setWeight: 100]",
        Strategy((SetWeight(Weight.ZERO), SetWeight(Weight.FULL))),
    ),
    "delays": (
        "{scaleDownDelaySeconds: 0, abortScaleDownDelaySeconds: 5, progressDeadlineAbort: false}",
        Strategy(scale_down_delay=0.0, abort_scale_down_delay=5.0, progress_deadline_abort=False),
    ),
    "Argo's 0 keeps the pods of an abort": ("abortScaleDownDelaySeconds: 0", Strategy(abort_scale_down_delay=None)),
    "a cluster's template": (
        "analysis: {templates: [{templateName: t, clusterScope: true}]}",
        Strategy(analysis=BackgroundAnalysis((TemplateRef("t", True),))),
    ),
    "a starting step": (
        "{steps: [setWeight: 1, pause: ], analysis: {templates: [{templateName: t}], startingStep: 1}}",
        Strategy((SetWeight(Weight(100)), Pause(None)), BackgroundAnalysis((TemplateRef("t"),), (), 1)),
    ),
    "hashes for arguments": (
        "analysis: {templates: [{templateName: t}], args: [{name: a, valueFrom: {podTemplateHashValue: Latest}}]}",
        Strategy(analysis=BackgroundAnalysis((TemplateRef("t"),), (Argument("a", None, "Latest"),))),
    ),
    "as many steps as there may be": (
        json.dumps({"steps": [{"setWeight": 1}] * MAX_STEPS}),
        Strategy((SetWeight(Weight(100)),) * MAX_STEPS),
    ),
}


@pytest.mark.parametrize(("text", "strategy"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(text: str, strategy: Strategy) -> None:
    assert parse_strategy(text) == strategy


_ONE = "analysis: {templates: [{templateName: t}], "
#: name: (text, the path below the annotation, a part of the problem, a part of the advice)
REFUSED = {
    "nothing at all": ("", "", "None is not a mapping", "steps"),
    "a word": ("fast", "", "'fast' is not a mapping", "steps"),
    "a list": ("- setWeight: 20", "", "is not a mapping", "steps"),
    "auto": (" auto\n", "", "not supported by this version", "write steps"),
    "a whole strategy": ("canary: {steps: []}", ".canary", "one level too many", "below strategy.canary"),
    "a typing error": ("step: []", ".step", "is unknown", "did you mean steps?"),
    "a typing error below": (
        "steps: [pause: {durations: 5}]",
        ".steps[0].pause.durations",
        "is unknown",
        "did you mean duration?",
    ),
    "nothing like it": ("colour: red", ".colour", "is unknown", "known here: steps, analysis"),
    "Argo's surge": ("maxSurge: 1", ".maxSurge", "no surge to bound", "remove it"),
    "Argo's routing": ("trafficRouting: {nginx: {}}", ".trafficRouting.nginx", "split by the sidecars", "remove it"),
    "Argo's Services": ("canaryService: c", ".canaryService", "not by a second Service", "remove it"),
    "Argo's scale step": (
        "steps: [setCanaryScale: {replicas: 1}]",
        ".steps[0].setCanaryScale",
        "not supported by this version",
        "setWeight, pause",
    ),
    "Argo's inline analysis": (
        "steps: [pause: , analysis: {}]",
        ".steps[1].analysis",
        "not supported by this version",
        "setWeight, pause",
    ),
    "an unknown step": ("steps: [setWieght: 5]", ".steps[0].setWieght", "is unknown", "did you mean setWeight?"),
    "a step of two kinds": ("steps: [{setWeight: 5, pause: }]", ".steps[0]", "exactly one kind, not 2", "write one of"),
    "a step of no kind": ("steps: [{}]", ".steps[0]", "not 0", "write one of"),
    "a step that is a word": ("steps: [pause]", ".steps[0]", "'pause' is not a mapping", "write one of"),
    "steps that are no list": ("steps: {setWeight: 5}", ".steps", "is not a list", "write a list"),
    "too many steps": (
        json.dumps({"steps": [{"pause": None}] * (MAX_STEPS + 1)}),
        ".steps",
        "201 steps are too many",
        "200",
    ),
    "a key that is a number": ("{1: 2}", "", "is not a mapping", "steps"),
    "too long": ("#" * (MAX_TEXT + 1), "", "characters are too many", str(MAX_TEXT)),
    "a weight that is a word": (
        "steps: [setWeight: many]",
        ".steps[0].setWeight",
        "'many' is not a weight",
        "from 0 to 100",
    ),
    "a weight above": ("steps: [setWeight: 100.01]", ".steps[0].setWeight", "100.01 is not a weight", "from 0 to 100"),
    "a weight below": ("steps: [setWeight: -1]", ".steps[0].setWeight", "-1 is not a weight", "from 0 to 100"),
    "three decimals": ("steps: [setWeight: 0.125]", ".steps[0].setWeight", "0.125 is not a weight", "two decimals"),
    "a weight that is true": ("steps: [setWeight: yes]", ".steps[0].setWeight", "True is not a weight", "percentage"),
    "no weight": ("steps: [setWeight: ]", ".steps[0].setWeight", "None is not a weight", "percentage"),
    "a weight beyond arithmetic": (
        "steps: [setWeight: '9e999999']",
        ".steps[0].setWeight",
        "is not a weight",
        "percentage",
    ),
    "an infinite weight": ("steps: [setWeight: .inf]", ".steps[0].setWeight", "inf is not a weight", "percentage"),
    "days": ("steps: [pause: {duration: 1d}]", ".steps[0].pause.duration", "'1d' is not a duration", "ms, s, m or h"),
    "a negative pause": ("steps: [pause: {duration: -5}]", ".steps[0].pause.duration", "-5 is out of range", "a year"),
    "a pause of decades": (
        "steps: [pause: {duration: 999999999}]",
        ".steps[0].pause.duration",
        "out of range",
        "a year",
    ),
    "a pause beyond floats": (
        f"steps: [pause: {{duration: '{'9' * 5000}'}}]",
        ".steps[0].pause.duration",
        "out of range",
        "a year",
    ),
    "a pause with a fraction": (
        "steps: [pause: {duration: 1.5}]",
        ".steps[0].pause.duration",
        "1.5 is not a duration",
        '"30s"',
    ),
    "a pause that is a number": ("steps: [pause: 30]", ".steps[0].pause", "30 is not a mapping", "{duration: 30s}"),
    "a delay that is a string": (
        "scaleDownDelaySeconds: 30s",
        ".scaleDownDelaySeconds",
        "'30s' is not a number of seconds",
        "whole number",
    ),
    "a negative delay": ("abortScaleDownDelaySeconds: -1", ".abortScaleDownDelaySeconds", "-1 is not", "whole number"),
    "a deadline switch that is a word": (
        "progressDeadlineAbort: 'no'",
        ".progressDeadlineAbort",
        "neither true nor false",
        "write true",
    ),
    "no template": ("analysis: {templates: []}", ".analysis.templates", "there is no template", "templateName"),
    "an analysis that is a list": ("analysis: []", ".analysis", "[] is not a mapping", "templates"),
    "a template without a name": (
        "analysis: {templates: [{}]}",
        ".analysis.templates[0].templateName",
        "there is no name",
        "write a name",
    ),
    "a template's name as a number": (
        "analysis: {templates: [{templateName: 5}]}",
        ".analysis.templates[0].templateName",
        "5 is not a name",
        "write a name",
    ),
    "a scope that is a word": (
        "analysis: {templates: [{templateName: t, clusterScope: maybe}]}",
        ".analysis.templates[0].clusterScope",
        "neither true nor false",
        "write true",
    ),
    "a starting step behind the last": (
        "{steps: [pause: ], " + _ONE + "startingStep: 1}}",
        ".analysis.startingStep",
        "1 is not the index of a step",
        "write 0 to 0",
    ),
    "a starting step as text": (
        _ONE + "startingStep: '0'}",
        ".analysis.startingStep",
        "'0' is not the index",
        "write 0",
    ),
    "an argument twice": (
        _ONE + "args: [{name: a, value: b}, {name: a, value: c}]}",
        ".analysis.args[1].name",
        "'a' is given twice",
        "once",
    ),
    "an argument as a number": (
        _ONE + "args: [{name: a, value: 5}]}",
        ".analysis.args[0].value",
        "5 is not a string",
        "in quotes",
    ),
    "an argument of two sources": (
        _ONE + "args: [{name: a, value: b, valueFrom: {podTemplateHashValue: Stable}}]}",
        ".analysis.args[0]",
        "both value and valueFrom",
        "one of them",
    ),
    "an argument from a field": (
        _ONE + "args: [{name: a, valueFrom: {fieldRef: {}}}]}",
        ".analysis.args[0].valueFrom.fieldRef",
        "not supported by this version",
        "remove it",
    ),
    "an unknown hash": (
        _ONE + "args: [{name: a, valueFrom: {podTemplateHashValue: New}}]}",
        ".analysis.args[0].valueFrom.podTemplateHashValue",
        "'New' is unknown",
        "Stable or Latest",
    ),
    # text that is no YAML, or too much of it
    "not YAML": ("steps:\n- setWeight: 20\n  pause: [", "", "not YAML at line 3, column 11", "strategy.canary"),
    "a tab": ("steps:\n\t- pause:", "", "not YAML at line 2, column 1", "strategy.canary"),
    "an alias": (
        "steps: &a []\nanalysis: *a",
        "",
        "not YAML at line 2, column 11: aliases are not allowed",
        "strategy.canary",
    ),
    "a key twice": (
        "steps: []\nsteps: [pause: ]",
        "",
        "not YAML at line 2, column 1: steps stands twice",
        "strategy.canary",
    ),
    "a weight twice": ("steps: [{setWeight: 5, setWeight: 50}]", "", "setWeight stands twice", "strategy.canary"),
    "two documents": ("steps: []\n---\nsteps: []", "", "not YAML at line 2", "strategy.canary"),
    "too deep": ("[" * 20_000, "", "nested too deeply", "strategy.canary"),
    "a month too many": (
        "steps: 2020-13-45",
        "",
        "not YAML at line 1, column 8: '2020-13-45' is no value of its kind",
        "strategy.canary",
    ),
    "digits of nothing": ("steps: 0x_", "", "'0x_' is no value of its kind", "strategy.canary"),
    "too many digits": (f"steps: [setWeight: 0x{'f' * 5000}]", "", "the number is too long", "strategy.canary"),
    "a tag that does not fit": ("steps: !!timestamp soon", "", "'soon' is no value of its kind", "strategy.canary"),
    "a tag of an empty value": ("steps: !!int ''", "", "is no value of its kind", "strategy.canary"),
    "somebody else's tag": (
        "steps: !!python/object:os.system {}",
        "",
        "could not determine a constructor",
        "strategy.canary",
    ),
}


@pytest.mark.parametrize(("text", "path", "problem", "advice"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, path: str, problem: str, advice: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_strategy(text)
    assert caught.value.path == f"metadata.annotations[coalmine.dev/canary]{path}"
    assert problem in caught.value.problem
    assert advice in caught.value.advice
    assert len(str(caught.value)) < 400, "an error does not repeat what is long"


def test_a_text_is_read_once_and_refused_where_it_stands_each_time() -> None:
    text = "steps: [{setWeight: 20}]"
    assert parse_strategy(text) is parse_strategy(text)
    for path in ("here", "there"):
        with pytest.raises(SpecError) as caught:
            parse_strategy("steps: 5", path)
        assert caught.value.path == f"{path}.steps"


def test_an_unknown_field_of_any_length_is_named_briefly() -> None:
    with pytest.raises(SpecError) as caught:
        parse_strategy(json.dumps({"x" * 50_000: 1}))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("steps", "weights"),
    [
        ("[]", [100, 100]),
        ("[setWeight: 20, pause: , setWeight: 50, pause: ]", [20, 20, 50, 50, 100, 100]),
        ("[pause: , setWeight: 30]", [0, 30, 100]),
        ("[setWeight: 60, setWeight: 40, pause: ]", [60, 40, 40, 100]),
    ],
)
def test_weight_at(steps: str, weights: list[int]) -> None:
    strategy = parse_strategy(f"steps: {steps}")
    assert [strategy.weight_at(i).percent for i in range(len(weights))] == weights


@pytest.mark.parametrize(
    ("text", "off"),
    [
        ("off", True),
        (' "off"\n', True),
        ("OFF", True),
        ("steps: []", False),
        ("", False),
        ("offset", False),
        (None, False),
    ],
)
def test_off(text: str | None, off: bool) -> None:
    assert is_off(text) is off


def test_steps_read_as_people_say_them() -> None:
    assert [str(s) for s in (SetWeight(Weight(1250)), Pause(90.0), Pause(None))] == [
        "setWeight 12.5",
        "pause 90s",
        "pause",
    ]


_KEYS = st.sampled_from(
    [
        "steps",
        "analysis",
        "setWeight",
        "pause",
        "duration",
        "templates",
        "templateName",
        "clusterScope",
        "args",
        "name",
        "value",
        "valueFrom",
        "podTemplateHashValue",
        "startingStep",
        "scaleDownDelaySeconds",
        "progressDeadlineAbort",
        "canary",
        "maxSurge",
        "experiment",
        "abortScaleDownDelaySeconds",
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["30s", "1m", "20", "12.5%", "Latest", "9e999999", "١s"])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_KEYS | st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.fixed_dictionaries({"steps": st.lists(st.dictionaries(_KEYS, inner, min_size=1, max_size=1), max_size=3)})
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_any_value_is_a_strategy_or_a_spec_error(value: object) -> None:
    _is_strategy_or_spec_error(yaml.safe_dump(value))


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60)
    | st.text(alphabet="steps:[]{}&*!|>-?%@`'\"#\n\t ,0x_9.:-~<=", max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "steps:",
                "\n",
                "- ",
                "  ",
                "setWeight: 20",
                "pause: ",
                "{",
                "}",
                "[",
                "]",
                "&a",
                "*a",
                "!!int ",
                "!!float ",
            ]
        )
        | st.sampled_from(
            [
                "!!timestamp ",
                "!!bool ",
                "!!null ",
                "!!set ",
                "!!omap ",
                "!!binary ",
                "<<: ",
                "? ",
                ": ",
                "0x",
                "2020-99-99",
                "|",
                "'",
            ]
        ),
        max_size=20,
    ).map("".join)
)
def test_any_text_is_a_strategy_or_a_spec_error(text: str) -> None:
    _is_strategy_or_spec_error(text)


def _is_strategy_or_spec_error(text: str) -> None:
    result: Strategy | SpecError
    try:
        result = parse_strategy(text)
    except SpecError as error:
        result = error
    if isinstance(result, SpecError):
        assert result.path.startswith("metadata.annotations[coalmine.dev/canary]")
        assert result.problem
        assert result.advice
    else:
        for index in range(len(result.steps) + 1):
            assert 0 <= result.weight_at(index).hundredths <= 10_000
