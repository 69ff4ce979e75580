"""Templates, arguments, and the AnalysisRun made of them."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.model.errors import SpecError
from coalmine_controller.analysis.arguments import declared, merge, substitute, used
from coalmine_controller.analysis.building import build_run
from coalmine_controller.analysis.settings import WebSettings
from coalmine_controller.analysis.template import Metric, check_template, read_run


def web(**fields: Any) -> dict[str, Any]:
    return {"web": {"url": "http://colorapi/", "jsonPath": "{$.status}", **fields}}


def metric(**fields: Any) -> dict[str, Any]:
    return {"name": "webcheck", "provider": web(), **fields}


def spec(*metrics: Any, **fields: Any) -> dict[str, Any]:
    return {"metrics": list(metrics) or [metric()], **fields}


def only(raw: dict[str, Any], **fields: Any) -> Metric:
    return read_run(spec(raw, **fields)).metrics[0]


def test_the_articles_template() -> None:
    read = only(
        metric(
            interval="5s",
            failureLimit=1,
            successCondition='result == "ok"',
            provider=web(url="http://{{args.host}}/", headers=[{"key": "coalmine-version", "value": "canary"}]),
        ),
        args=[{"name": "host", "value": "colorapi"}],
    )
    assert (read.name, read.interval, read.count, read.failure_limit) == ("webcheck", 5.0, None, 1)
    assert (read.consecutive_error_limit, read.inconclusive_limit, read.consecutive_success_limit) == (4, 0, 0)
    assert read.success is not None
    assert read.success.holds("ok")
    assert read.settings == WebSettings("http://colorapi/", headers=(("coalmine-version", "canary"),))


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 1),
        ({"count": 0}, 1),
        ({"interval": "1m30s"}, None),
        ({"interval": "1m", "count": 0}, None),
        ({"interval": "1m", "count": 5}, 5),
        ({"interval": "1m", "count": "5"}, 5),
        ({"count": 1}, 1),
    ],
)
def test_effective_count(fields: dict[str, Any], count: int | None) -> None:
    assert only(metric(**fields)).count == count


BAD_METRICS = [
    ({"count": 2}, "spec.metrics[0].interval: is missing, but count is 2"),
    ({"interval": "60"}, "spec.metrics[0].interval: '60' is not a duration"),
    ({"interval": 5}, "spec.metrics[0].interval: 5 is not a duration"),
    ({"interval": "1d"}, "spec.metrics[0].interval: '1d' is not a duration"),
    ({"interval": "1ns"}, "spec.metrics[0].interval: '1ns' is too short; write at least 50ms"),
    ({"initialDelay": "x"}, "spec.metrics[0].initialDelay: 'x' is not a duration"),
    ({"name": ""}, "spec.metrics[0].name: is empty"),
    ({"name": None}, "spec.metrics[0].name: is missing"),
    ({"count": -1}, "spec.metrics[0].count: -1 is not a whole number in range"),
    ({"count": True}, "spec.metrics[0].count: True is not a whole number in range"),
    ({"count": 1.5}, "spec.metrics[0].count: 1.5 is not a whole number in range"),
    ({"count": "many"}, "spec.metrics[0].count: 'many' is not"),
    ({"failureLimit": -2}, "spec.metrics[0].failureLimit: -2 is not a whole number in range; write a number from -1"),
    ({"inconclusiveLimit": -1}, "spec.metrics[0].inconclusiveLimit: -1 is not"),
    ({"consecutiveErrorLimit": -1}, "spec.metrics[0].consecutiveErrorLimit: -1 is not"),
    ({"consecutiveSuccessLimit": -1}, "spec.metrics[0].consecutiveSuccessLimit: -1 is not"),
    ({"count": 3, "interval": "1s", "failureLimit": 4}, "spec.metrics[0].failureLimit: 4 can never be met with a coun"),
    ({"count": 3, "interval": "1s", "inconclusiveLimit": 4}, "spec.metrics[0].inconclusiveLimit: 4 can never be met"),
    ({"successCondition": "result =="}, "spec.metrics[0].successCondition: column 10: expected a value"),
    ({"failureCondition": " "}, "spec.metrics[0].failureCondition: column 2: expected a value"),
    ({"successCondition": True}, "spec.metrics[0].successCondition: True is not a string"),
    ({"sucessCondition": "true"}, "spec.metrics[0].sucessCondition: is unknown; did you mean successCondition?"),
    ({"provider": None}, "spec.metrics[0].provider: there is nothing; write exactly one of web"),
    ({"provider": {}}, "spec.metrics[0].provider: there are 0 providers; write exactly one of web"),
    ({"provider": {"job": {}}}, "spec.metrics[0].provider.job: is not supported by this version"),
    ({"provider": {**web(), "job": {}}}, "spec.metrics[0].provider.job: is not supported by this version"),
    ({"provider": {"wed": {}}}, "spec.metrics[0].provider.wed: is unknown; did you mean web?"),
    ({"provider": web(url=None)}, "spec.metrics[0].provider.web.url: is missing"),
    ({"provider": web(url="colorapi/")}, "spec.metrics[0].provider.web.url: 'colorapi/' is not an http or https URL"),
    ({"provider": web(url="ftp://a/")}, "spec.metrics[0].provider.web.url: 'ftp://a/' is not an http or https URL"),
    (
        {"provider": web(url="http://a:99999/")},
        "spec.metrics[0].provider.web.url: 'http://a:99999/' is not an http or https URL",
    ),
    (
        {"provider": web(url="http://color api/")},
        "spec.metrics[0].provider.web.url: 'http://color api/' is not an http or https URL",
    ),
    (
        {"provider": web(url="http://a<b/")},
        "spec.metrics[0].provider.web.url: 'http://a<b/' is not an http or https URL",
    ),
    (
        {"provider": web(url="http://a|b:9090")},
        "spec.metrics[0].provider.web.url: 'http://a|b:9090' is not an http or https URL",
    ),
    ({"provider": web(method="DELETE")}, "spec.metrics[0].provider.web.method: 'DELETE' is unknown; write one of GET"),
    ({"provider": web(body="x")}, "spec.metrics[0].provider.web.method: GET has no body"),
    (
        {"provider": web(method="POST", body="x", jsonBody={})},
        "spec.metrics[0].provider.web.jsonBody: stands beside body",
    ),
    ({"provider": web(timeoutSeconds=301)}, "spec.metrics[0].provider.web.timeoutSeconds: 301 is not a whole number"),
    ({"provider": web(insecure="yes")}, "spec.metrics[0].provider.web.insecure: 'yes' is neither true nor false"),
    ({"provider": web(authentication={})}, "spec.metrics[0].provider.web.authentication: is not supported by this"),
    (
        {"provider": web(headers=[{"key": "a b", "value": "x"}])},
        "spec.metrics[0].provider.web.headers[0].key: 'a b' is",
    ),
    (
        {"provider": web(headers=[{"key": "a", "value": "x\ny"}])},
        "spec.metrics[0].provider.web.headers[0].value: holds",
    ),
    ({"provider": web(headers=[{"name": "a"}])}, "spec.metrics[0].provider.web.headers[0].name: is unknown"),
    ({"provider": web(jsonPath="$.a")}, "spec.metrics[0].provider.web.jsonPath: '$.a' is not in braces"),
    ({"provider": web(jsonPath="{$.a} {$.b}")}, "spec.metrics[0].provider.web.jsonPath: '{$.a} {$.b}' has several"),
    ({"provider": web(jsonPath="{$.a[}")}, "spec.metrics[0].provider.web.jsonPath: '{$.a[}' is not a JSONPath"),
    ({"provider": web(jsonPath="{a}")}, "spec.metrics[0].provider.web.jsonPath: '{a}' does not start at $"),
    ({"provider": web(jsonPath="{$.a.`sub(/x/, y)`}")}, "spec.metrics[0].provider.web.jsonPath: ` is not part of"),
    ({"provider": web(jsonPath='{$[?(@.a =~ "(a+)+$")]}')}, "spec.metrics[0].provider.web.jsonPath: =~ is not part of"),
]


@pytest.mark.parametrize(("fields", "sentence"), BAD_METRICS)
def test_bad_metrics_are_refused_by_path(fields: dict[str, Any], sentence: str) -> None:
    for read in (read_run, check_template):
        with pytest.raises(SpecError) as caught:
            read(spec(metric(**fields)))
        assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (None, "spec: there is nothing"),
        ({}, "spec.metrics: there is no metric"),
        ({"metrics": {}}, "spec.metrics: {} is not a list"),
        ({"metrics": ["x"]}, "spec.metrics[0]: 'x' is not a mapping"),
        ({"metrics": [metric()] * 51}, "spec.metrics: 51 metrics are too many"),
        (spec(metric(), metric()), "spec.metrics[1].name: 'webcheck' is used twice"),
        (spec(dryRun=[{"metricName": "x"}]), "spec.dryRun: is not supported by this version"),
        (spec(measurementRetention=[]), "spec.measurementRetention: is not supported by this version"),
        (spec(templates=[]), "spec.templates: is not supported by this version"),
        (spec(ttlStrategy={}), "spec.ttlStrategy: is not supported by this version"),
        (spec(metric=[]), "spec.metric: is unknown; did you mean metrics?"),
        (spec(args=5), "spec.args: 5 is not a list"),
        (spec(args=[{"name": "a", "value": 5}]), "spec.args[0].value: 5 is not a string"),
        (spec(args=[{"name": "a"}, {"name": "a"}]), "spec.args[1].name: 'a' is declared twice"),
        (
            spec(args=[{"name": "a", "valueFrom": {"secretKeyRef": {}}}]),
            "spec.args[0].valueFrom: is not supported by this",
        ),
        (spec(metric(provider=web(url="http://{{args.x}}/"))), "spec.metrics"),
    ],
)
def test_bad_specs_are_refused_by_path(raw: Any, sentence: str) -> None:
    for read in (read_run, check_template):
        with pytest.raises(SpecError) as caught:
            read(raw)
        assert str(caught.value).startswith(sentence)


def test_a_template_is_checked_without_its_arguments() -> None:
    check_template(
        spec(
            metric(
                interval="{{args.interval}}",
                count="{{ args.count }}",
                failureLimit="{{args.limit}}",
                successCondition="result == '{{args.x}}' && {{args.y}}",
                provider=web(
                    url="{{args.scheme}}://{{args.host}}/",
                    jsonPath="{{args.path}}",
                    headers=[{"key": "{{args.x}}", "value": "{{args.x}}"}],
                ),
            ),
            args=[{"name": n} for n in ("interval", "count", "limit", "x", "y", "scheme", "host", "path")],
        )
    )
    with pytest.raises(SpecError, match=r"spec.metrics\[0\].interval: '60' is not a duration"):
        check_template(spec(metric(interval="{{args.i}}"), args=[{"name": "i", "value": "60"}]))
    with pytest.raises(SpecError, match=r"spec.metrics: {{args.hots}} names no argument"):
        check_template(spec(metric(provider=web(url="http://{{args.hots}}/")), args=[{"name": "host"}]))


def test_settings_of_the_web_provider() -> None:
    settings = only(
        metric(provider=web(method="PUT", jsonBody={"b": 1.0, "a": "x"}, timeoutSeconds=3, insecure=True))
    ).settings
    assert settings.body == '{"a":"x","b":1}'
    assert (settings.method, settings.timeout, settings.insecure) == ("PUT", 3, True)
    assert settings.headers == (("Content-Type", "application/json"),)
    own = web(method="POST", jsonBody={}, headers=[{"key": "content-type", "value": "text/x"}], timeoutSeconds=-1)
    assert only(metric(provider=own)).settings.headers == (("content-type", "text/x"),)
    assert only(metric(provider=own)).settings.timeout == 10
    secret = WebSettings("http://a/", headers=(("Authorization", "Bearer x"),), body="secret")
    assert "Bearer" not in repr(secret)
    assert "secret" not in repr(secret)


# --- arguments


def test_substitution() -> None:
    raw = {"{{args.k}}": ["{{args.a}}-{{ args.b }}", {"deep": "{{args.a}}"}, 5, None], "other": "{{ $labels.x }} {{"}
    assert substitute(raw, {"a": "1", "b": "{{args.a}}", "k": "key"}, "spec") == {
        "key": ["1-{{args.a}}", {"deep": "1"}, 5, None],
        "other": "{{ $labels.x }} {{",
    }
    assert used(raw) == {"a", "b", "k"}


def test_an_unknown_argument_is_named_with_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        substitute({"url": ["{{args.hots}}"]}, {"host": "x"}, "spec.metrics[0]")
    assert str(caught.value) == (
        "spec.metrics[0].url[0]: {{args.hots}} names no argument; declare it in spec.args; declared are host"
    )


def test_merging() -> None:
    one, two = declared([{"name": "host"}, {"name": "port", "value": "80"}], "spec.args"), {"host": "own", "n": ""}
    assert merge({"one": one, "two": two}, {"port": "81", "unused": "x"}) == {"host": "own", "port": "81", "n": ""}
    assert merge({"two": two, "one": one}, {}) == {"host": "own", "port": "80", "n": ""}
    with pytest.raises(SpecError, match=r"one: spec.args: 'host' has no value; add"):
        merge({"one": one}, {"port": "81"})
    with pytest.raises(SpecError, match=r"three: spec.args: 'port' has another value than in the template before it"):
        merge({"one": one, "three": {"port": "82"}}, {"host": "x"})
    assert merge({"one": one, "three": {"port": "82"}}, {"host": "x", "port": "83"})["port"] == "83"


# --- the run


def template(name: str, raw: dict[str, Any], kind: str = "AnalysisTemplate") -> dict[str, Any]:
    return {"apiVersion": "coalmine.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": raw}


OWNER = {"apiVersion": "coalmine.dev/v1alpha1", "kind": "Rollout", "name": "colorapi", "uid": "u", "controller": True}


def test_build_run() -> None:
    first = spec(metric(provider=web(url="http://{{args.host}}/")), args=[{"name": "host"}])
    second = spec(metric(name="other", interval="{{args.i}}"), args=[{"name": "i", "value": "5s"}])
    built = build_run(
        [template("one", first), template("two", second, "ClusterAnalysisTemplate")],
        {"host": "colorapi"},
        "colorapi-abc-2",
        "default",
        OWNER,
        {"app": "x"},
    )
    assert built == {
        "apiVersion": "coalmine.dev/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {
            "name": "colorapi-abc-2",
            "namespace": "default",
            "labels": {"app": "x"},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "metrics": [*first["metrics"], *second["metrics"]],
            "args": [{"name": "host", "value": "colorapi"}, {"name": "i", "value": "5s"}],
        },
    }
    assert [m.interval for m in read_run(built["spec"]).metrics] == [None, 5.0]


@pytest.mark.parametrize(
    ("templates", "sentence"),
    [
        (
            [template("one", spec()), template("two", spec())],
            "AnalysisTemplate two: spec.metrics[0].name: 'webcheck' is also used by AnalysisTemplate one",
        ),
        (
            [template("one", spec(args=[{"name": "unused"}]))],
            "AnalysisTemplate one: spec.args: 'unused' has no value",
        ),
        (
            [template("one", spec()), template("two", spec(metric(name="x", count=2)), "ClusterAnalysisTemplate")],
            "ClusterAnalysisTemplate two: spec.metrics[0].interval: is missing",
        ),
        ([template("one", {})], "AnalysisTemplate one: spec.metrics: there is no metric"),
        ([template("one", spec()), template("one", spec())], "spec.metrics[1].name: 'webcheck' is used twice"),
        ([], "spec.metrics: there is no metric"),
    ],
)
def test_a_run_that_could_not_be_carried_out_is_not_made(templates: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_run(templates, {}, "run", "default", OWNER, {})
    assert str(caught.value).startswith(sentence)
