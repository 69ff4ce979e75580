"""The kinds' schemas say what the code reads and writes: no field too few, none too many, nothing stricter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine.model.rollout import Condition, Phase, Promotion, Replicas, Revision, Status, Wish, Wishes
from coalmine.model.schema import Schema, analysis, rollout
from coalmine.model.schema.definitions import DEFINITIONS, Definition
from coalmine.model.weights import Weight
from coalmine_controller.analysis import arguments, template
from coalmine_controller.analysis.phases import Phase as RunPhase
from coalmine_controller.analysis.results import Measurement, MetricResult
from coalmine_controller.analysis.run import RunState, to_status
from coalmine_controller.analysis.settings import READERS
from coalmine_controller.analysis.settings.prometheus import _FIELDS as PROMETHEUS_FIELDS
from coalmine_controller.analysis.settings.web import _FIELDS as WEB_FIELDS
from coalmine_sandbox.api import crd_rules
from coalmine_sandbox.api.schema import check, structural

EACH = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)


def of_kind(kind: str) -> Definition:
    return next(each for each in DEFINITIONS if each.kind == kind)


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field below `schema`, with its path."""
    for name, each in (schema.get("properties") or {}).items():
        yield f"{path}.{name}", each
        yield from fields(each, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


# --- as an API server sees them --------------------------------------------------------------


@EACH
def test_an_api_server_accepts_it(definition: Definition) -> None:
    assert crd_rules.faults(definition.to_json({})) == []


@EACH
def test_every_field_has_a_sentence(definition: Definition) -> None:
    implicit = {".apiVersion", ".kind", ".metadata"}
    for path, schema in [("", definition.schema()), *fields(definition.schema())]:
        if path in implicit:
            continue
        about = schema.get("description", "")
        assert about[:1].isupper(), f"{definition.kind}{path}: {about!r}"
        assert about.endswith("."), f"{definition.kind}{path}: {about!r}"


@EACH
def test_columns_show_fields_that_there_are(definition: Definition) -> None:
    known = {path for path, _ in fields(definition.schema())} | {".metadata.creationTimestamp"}
    assert {column.path for column in definition.columns} <= known


def test_every_kind_is_defined() -> None:
    assert {each.kind for each in DEFINITIONS} == names.PLURALS.keys()


# --- the Rollout ------------------------------------------------------------------------------

WISH = Wish("0123456789abcdef", 3)
REVISION = Revision("0123456789abcdef", "colorapi-1", 2, ("colorapi:1.0",))
FULL = Status(
    phase=Phase.PAUSED,
    canary=REVISION,
    stable=REVISION,
    control=("uid",),
    routes=("r",),
    step_started_at=1.5,
    full_at=2.0,
    aborted_at=3.0,
    progressed_at=4.0,
    handover_at=5.0,
    withdrawn_at=6.0,
    bare_at=7.0,
    weight=Weight.parse(12.5, "w"),
    replicas=Replicas(5, 6, 1, 6, 6),
    conditions=(Condition("Available", True, "R", "m", 8.0),),
)


def test_the_full_status_is_full() -> None:
    optional = [f.name for f in dataclasses.fields(Status) if getattr(FULL, f.name) is None]
    assert optional == []


def faults(definition: Definition, **parts: Any) -> list[str]:
    node = structural.structure(definition.schema())
    return [f"{each.field}: {each.message}" for each in check.faults(node, parts)]


def unknown(definition: Definition, **parts: Any) -> list[str]:
    return check.unknown(structural.structure(definition.schema()), parts)


def known(schema: Schema) -> set[str]:
    return set(schema.get("properties") or ())


def test_the_status_of_a_rollout_has_just_these_fields() -> None:
    written = FULL.to_json()
    assert faults(of_kind(names.ROLLOUT), status=written) == []
    assert known(rollout.STATUS) == written.keys()
    properties = rollout.STATUS["properties"]
    assert known(properties["stable"]) == known(properties["canary"]) == written["canary"].keys()
    assert known(properties["conditions"]["items"]) == written["conditions"][0].keys()
    assert faults(of_kind(names.ROLLOUT), status=Status().to_json()) == []


def test_the_spec_of_a_rollout_has_just_these_fields() -> None:
    asked = Wishes(WISH, WISH, Promotion(WISH, 2, True), WISH)
    written = {
        "paused": WISH.to_json(),
        "abort": WISH.to_json(),
        "promote": asked.promote.to_json() if asked.promote else {},
        "retry": WISH.to_json(),
    }
    assert Wishes.from_json(written) == asked
    assert {field.name for field in dataclasses.fields(Wishes)} == known(rollout.SPEC) == written.keys()
    assert faults(of_kind(names.ROLLOUT), spec=written) == []
    assert unknown(of_kind(names.ROLLOUT), spec=written) == []
    for name, wish in written.items():
        assert known(rollout.SPEC["properties"][name]) == wish.keys()


@pytest.mark.parametrize(
    "wish", [{}, {"revision": "r"}, {"attempt": 1}, {"revision": 1, "attempt": 1}, {"revision": "r", "attempt": "1"}]
)
def test_an_incomplete_wish_is_refused_where_the_code_would_not_hear_it(wish: dict[str, Any]) -> None:
    assert Wish.read(wish) is None
    assert faults(of_kind(names.ROLLOUT), spec={"abort": wish}) != []


# --- analysis ---------------------------------------------------------------------------------


def test_bounds_are_the_readers() -> None:
    assert analysis.MAX_METRICS == template.MAX_METRICS
    assert analysis.MAX_ARGUMENTS == arguments.MAX_ARGUMENTS


def test_the_status_of_a_run_has_just_these_fields() -> None:
    measurement = Measurement(RunPhase.ERROR, 1.0, 2.0, "v", "m")
    result = MetricResult("m", RunPhase.FAILED, 1, 2, 3, 4, 5, 6, 7, "m", (measurement,))
    metric = template.read_metric({"name": "m", "provider": {"web": {"url": "http://a/"}}}, "m")
    status = to_status(RunState((metric,), False, RunPhase.FAILED, "m", 1.0, {"m": result}))
    assert faults(of_kind(names.ANALYSIS_RUN), spec={"metrics": [METRIC]}, status=status) == []
    schema = analysis.RUN_STATUS
    assert known(schema) == status.keys()
    results = schema["properties"]["metricResults"]["items"]
    (written,) = status["metricResults"]
    assert known(results) == written.keys()
    assert known(results["properties"]["measurements"]["items"]) == written["measurements"][0].keys()


METRIC: dict[str, Any] = {"name": "m", "provider": {"web": {"url": "http://a/"}}}


def spec(metric: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"metrics": [{**METRIC, **(metric or {})}], **more}


def web(**more: Any) -> dict[str, Any]:
    return spec({"provider": {"web": {"url": "http://a/", **more}}})


def prometheus(**more: Any) -> dict[str, Any]:
    return spec({"provider": {"prometheus": {"query": "up", **more}}})


#: A spec, and whether schema and reader accept it.
CORPUS: dict[str, tuple[dict[str, Any], bool]] = {
    "least": (spec(), True),
    "no spec": ({}, False),
    "no metric": (spec() | {"metrics": []}, False),
    "metrics are no list": ({"metrics": {}}, False),
    "50 metrics": ({"metrics": [{**METRIC, "name": f"m{i}"} for i in range(50)]}, True),
    "51 metrics": ({"metrics": [{**METRIC, "name": f"m{i}"} for i in range(51)]}, False),
    "a metric without a name": ({"metrics": [{"provider": METRIC["provider"]}]}, False),
    "a metric without a provider": ({"metrics": [{"name": "m"}]}, False),
    "no provider": (spec({"provider": {}}), False),
    "two providers": (spec({"provider": {"web": {"url": "http://a/"}, "prometheus": {"query": "up"}}}), False),
    "a name that is a number": (spec({"name": 5}), False),
    "count": (spec({"count": 1}), True),
    "count as text": (spec({"count": "1"}), True),
    "count from an argument": (spec({"count": "{{args.n}}"}, args=[{"name": "n"}]), True),
    "count true": (spec({"count": True}), False),
    "a limit that is a list": (spec({"failureLimit": [1]}), False),
    "any number of failures": (spec({"failureLimit": -1}), True),
    "interval": (spec({"interval": "30s"}), True),
    "interval as a number": (spec({"interval": 30}), False),
    "condition": (spec({"successCondition": "result > 0.5"}), True),
    "condition as a truth": (spec({"successCondition": True}), False),
    "argument": (spec(args=[{"name": "a", "value": "b"}]), True),
    "argument without value": (spec(args=[{"name": "a"}]), True),
    "argument without name": (spec(args=[{"value": "b"}]), False),
    "argument whose value is a number": (spec(args=[{"name": "a", "value": 1}]), False),
    "100 arguments": (spec(args=[{"name": f"a{i}"} for i in range(100)]), True),
    "101 arguments": (spec(args=[{"name": f"a{i}"} for i in range(101)]), False),
    "the same argument twice": (spec(args=[{"name": "a"}, {"name": "a"}]), False),
    "web without url": (spec({"provider": {"web": {}}}), False),
    "web that is a text": (spec({"provider": {"web": "http://a/"}}), False),
    "POST with a body": (web(method="POST", body="b"), True),
    "POST with a JSON body": (web(method="POST", jsonBody={"a": [1, None]}), True),
    "PATCH": (web(method="PATCH"), False),
    "headers": (web(headers=[{"key": "a", "value": "b"}, {"key": "c"}]), True),
    "header without a name": (web(headers=[{"value": "b"}]), False),
    "headers as a mapping": (web(headers={"a": "b"}), False),
    "timeout": (web(timeoutSeconds=5), True),
    "timeout as text": (web(timeoutSeconds="5"), True),
    "timeout as a truth": (web(timeoutSeconds=True), False),
    "insecure": (web(insecure=True), True),
    "insecure as text": (web(insecure="true"), False),
    "jsonPath": (web(jsonPath="{$.a}"), True),
    "prometheus": (prometheus(address="http://p:9090", timeout=10, insecure=False, headers=[{"key": "a"}]), True),
    "prometheus without query": (spec({"provider": {"prometheus": {"address": "http://p:9090"}}}), False),
    "query as a number": (prometheus(query=1), False),
}
#: What only the reader refuses, as no schema can say it, or so that its sentence names the field.
LEFT_TO_THE_READER = {
    "names used twice": {"metrics": [METRIC, METRIC]},
    "an unknown argument": spec({"interval": "{{args.a}}"}),
    "a condition that does not parse": spec({"successCondition": "result >"}),
    "a duration that is none": spec({"interval": "soon"}),
    "too many failures for the count": spec({"count": 1, "failureLimit": 2}),
    "a URL without host": web(url="http:///x"),
    "a timeout beyond the most": web(timeoutSeconds=301),
    "GET with a body": web(body="b"),
    "a provider of Argo's": spec({"provider": {"datadog": {"query": "q"}}}),
    "an unknown provider": spec({"provider": {"telepathy": {}}}),
    "a field of Argo's": spec(dryRun=[{"metricName": "m"}]),
    "an argument from a Secret": spec(args=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    "web's authentication": web(authentication={"sigv4": {}}),
    "a range": prometheus(rangeQuery={"step": "1m"}),
}


def reads(spec: dict[str, Any]) -> bool:
    try:
        template.check_template(spec)
    except SpecError:
        return False
    return True


@pytest.mark.parametrize(("spec", "wanted"), CORPUS.values(), ids=CORPUS)
def test_schema_and_reader_agree(spec: dict[str, Any], wanted: bool) -> None:
    kind = of_kind(names.ANALYSIS_TEMPLATE)
    assert reads(spec) is wanted
    assert (faults(kind, spec=spec) == []) is wanted
    if wanted:
        assert unknown(kind, spec=spec) == [], "a strict write accepts it too"
        of_run = faults(of_kind(names.ANALYSIS_RUN), spec={**spec, "terminate": True})
        assert of_run == []


@pytest.mark.parametrize("spec", LEFT_TO_THE_READER.values(), ids=LEFT_TO_THE_READER)
def test_what_is_left_to_the_reader_reaches_it_whole(spec: dict[str, Any]) -> None:
    kind = of_kind(names.ANALYSIS_TEMPLATE)
    assert not reads(spec)
    assert faults(kind, spec=spec) == []
    pruned = check.prune(structural.structure(kind.schema()), {"spec": spec})
    assert pruned["spec"] == spec


def test_every_provider_is_in_the_schema() -> None:
    assert analysis.PROVIDERS.keys() == READERS.keys()


def test_every_field_of_a_metric_is_in_the_schema() -> None:
    assert known(analysis.METRIC) == set(template._METRIC)
    assert known(analysis.TEMPLATE_SPEC) == {*template._SPEC, *template._SPEC_UNSUPPORTED}
    assert known(analysis.RUN_SPEC) == {*template._SPEC, *template._SPEC_UNSUPPORTED, "terminate"}


@pytest.mark.parametrize("kind", READERS)
def test_every_field_of_a_provider_is_in_the_schema(kind: str) -> None:
    schema = analysis.PROVIDERS[kind]
    for name, each in schema["properties"].items():
        refused = "this version has not" in each["description"]
        least = {"url": "http://a/"} if kind == "web" else {"query": "up"}
        made = spec({"provider": {kind: {**least, name: least.get(name, _EXAMPLES.get(name))}}})
        assert reads(made) is not refused, name
    supported = {n for n, each in schema["properties"].items() if "this version has not" not in each["description"]}
    assert supported == set({"web": WEB_FIELDS, "prometheus": PROMETHEUS_FIELDS}[kind])


#: A value that each field takes.
_EXAMPLES: dict[str, Any] = {
    "address": "http://p:9090",
    "timeout": 1,
    "timeoutSeconds": 1,
    "headers": [],
    "insecure": True,
    "jsonPath": "{$.a}",
    "method": "POST",
    "body": "",
    "authentication": {"oauth2": {}},
    "rangeQuery": {"step": "1m"},
}
