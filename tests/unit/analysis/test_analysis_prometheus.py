"""The prometheus provider against a stub of Prometheus on loopback; the cluster's tests ask a real one."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from coalmine.model.errors import SpecError
from coalmine_controller.analysis.conditions import Condition, assess
from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.providers import Context, Measured, MeasurementError, open_session, provider_of
from coalmine_controller.analysis.providers.fetch import MAX_BODY
from coalmine_controller.analysis.settings.prometheus import MAX_QUERY, PrometheusSettings, is_address, read_prometheus
from coalmine_controller.analysis.template import check_template

PATH = "spec.metrics[0].provider.prometheus"


def settings(**fields: Any) -> PrometheusSettings:
    """Settings as a template gives them."""
    return read_prometheus(Fields({"query": "up"} | fields, PATH, ""))


class Stub:
    """Answers every query with `body`, and remembers what it was asked."""

    def __init__(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body = body
        self._status = status
        self._headers = headers
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        form = {k: str(v) for k, v in (await request.post()).items()}
        self.asked.append((request.method, request.path_qs, form, dict(request.headers)))
        text = self._body if isinstance(self._body, str) else json.dumps(self._body)
        return web.Response(text=text, status=self._status, headers=self._headers)

    def measure(self, *, default: bool = False, prefix: str = "", **fields: Any) -> Measured:
        """One measurement; with `default` the address is the controller's, not the metric's."""

        async def main() -> Measured:
            app = web.Application()
            app.router.add_route("*", "/{rest:.*}", self.handle)
            runner = web.AppRunner(app)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                address = f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
                chosen = settings(**({} if default else {"address": address}), **fields)
                context = Context("shop", open_session, address if default else "")
                return await provider_of(chosen).measure(context)
            finally:
                await runner.cleanup()

        return asyncio.run(main())

    def fault(self, **fields: Any) -> str:
        with pytest.raises(MeasurementError) as caught:
            self.measure(**fields)
        return str(caught.value)


def answer(kind: str, result: Any) -> Any:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def vector(*values: str) -> Any:
    return answer("vector", [{"metric": {"pod": str(i)}, "value": [1.5, v]} for i, v in enumerate(values)])


@pytest.mark.parametrize(
    ("body", "value", "result"),
    [
        (answer("scalar", [1.5, "0.97"]), "0.97", 0.97),
        (answer("scalar", [1.5, "100"]), "100", 100.0),
        (answer("scalar", [1.5, "+Inf"]), "+Inf", math.inf),
        (vector(), "[]", []),
        (vector("10"), "[10]", [10.0]),
        (vector("10", "0.5"), "[10,0.5]", [10.0, 0.5]),
        (vector("-Inf", "1e-07"), "[-Inf,1e-7]", [-math.inf, 1e-07]),
        (vector("1") | {"warnings": ["some are missing"]}, "[1]", [1.0]),
    ],
)
def test_results(body: Any, value: str, result: Any) -> None:
    assert Stub(body).measure() == Measured(value, result)


def test_nan_is_a_result() -> None:
    measured = Stub(vector("NaN")).measure()
    assert measured.value == "[NaN]"
    assert math.isnan(measured.result[0])


@pytest.mark.parametrize(
    ("body", "success", "failure", "phase"),
    [
        (vector("0.97"), "result[0] >= 0.95", "", Phase.SUCCESSFUL),
        (vector("0.5"), "result[0] >= 0.95", "", Phase.FAILED),
        (vector("0.97"), "result >= 0.95", "", Phase.ERROR),  # a vector is a list
        (vector("NaN"), "result[0] >= 0.95", "", Phase.FAILED),  # NaN compares false
        (vector("NaN"), "isNaN(result[0]) || result[0] >= 0.95", "", Phase.SUCCESSFUL),
        (vector("NaN"), "len(result) > 0 && result[0] > 1", "len(result) > 0 && result[0] <= 1", Phase.INCONCLUSIVE),
        (vector(), "len(result) == 0 || result[0] > 1", "", Phase.SUCCESSFUL),
        (vector(), "result[0] > 1", "", Phase.ERROR),
        (vector("1", "2"), "result[0] < result[1]", "", Phase.SUCCESSFUL),
        (answer("scalar", [0, "3"]), "result == 3", "", Phase.SUCCESSFUL),
        (answer("scalar", [0, "+Inf"]), "isInf(result)", "", Phase.SUCCESSFUL),
    ],
)
def test_conditions_on_results(body: Any, success: str, failure: str, phase: Phase) -> None:
    measured = Stub(body).measure()
    conditions = [Condition.parse(text) if text else None for text in (success, failure)]
    assert assess(*conditions, measured.result)[0] is phase


def test_the_query_is_asked_as_it_was_written() -> None:
    stub = Stub(vector("1"))
    query = 'sum(rate(x{a="ü&b=c"}[1m]))\n/ 2'
    headers = [{"key": "Authorization", "value": "Bearer secret"}, {"key": "X-Scope-OrgID", "value": "shop"}]
    stub.measure(query=query, headers=headers, timeout=5, prefix="/tenant/")
    ((method, path, form, sent),) = stub.asked
    assert (method, path) == ("POST", "/tenant/api/v1/query")
    assert form == {"query": query, "timeout": "5s"}
    assert sent["Authorization"] == "Bearer secret"
    assert sent["X-Scope-OrgID"] == "shop"


def test_the_controller_s_own_address_is_the_default() -> None:
    assert Stub(vector("1")).measure(default=True).result == [1.0]
    with pytest.raises(MeasurementError, match=r"^no address of Prometheus is known: write provider\.prometheus"):
        asyncio.run(provider_of(settings()).measure(Context("shop", open_session)))


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (
            {"status": "error", "errorType": "bad_data", "error": "parse error: x"},
            400,
            "400, no success: parse error: x",
        ),
        ({"status": "error", "error": "y" * 1000}, 503, "503, no success: " + "y" * 300),
        ("<html>", 502, "answered 502, not with JSON"),
        ("", 302, "answered 302, not with JSON"),
        ("[]", 200, "answered 200, no success"),
        ("{}", 404, "answered 404, no success"),
        (answer("matrix", []), 200, "a result of type matrix cannot be judged: ask for a vector or a scalar"),
        (answer("string", [0, "x"]), 200, "a result of type string cannot be judged"),
        (answer("x" * 99, []), 200, f"a result of type {'x' * 20} cannot be judged"),
        ({"status": "success"}, 200, "a result of type None cannot be judged"),
        (answer("scalar", [0]), 200, "not the shape of Prometheus'"),
        (answer("scalar", None), 200, "not the shape of Prometheus'"),
        (answer("scalar", [0, 1]), 200, "not the shape of Prometheus'"),
        (answer("scalar", [0, "1_0"]), 200, "not the shape of Prometheus'"),
        (answer("vector", [{"metric": {}}]), 200, "not the shape of Prometheus'"),
        (answer("vector", {}), 200, "a result of type vector cannot be judged"),
        ("[" * 200 + "]" * 200, 200, "with JSON nested"),
        ("1" * (MAX_BODY + 1), 200, f"the answer is longer than {MAX_BODY} bytes"),
    ],
)
def test_what_is_no_result_is_an_error(body: Any, status: int, sentence: str) -> None:
    stub = Stub(body, status)
    told = stub.fault(headers=[{"key": "Authorization", "value": "secret"}])
    assert told.startswith("Prometheus at http://127.0.0.1:")
    assert sentence in told
    assert "secret" not in told


def test_no_redirect_is_followed() -> None:
    stub = Stub("", 307, {"Location": "/elsewhere"})
    assert "answered 307, not with JSON" in stub.fault()
    assert len(stub.asked) == 1


def test_nobody_there() -> None:
    with pytest.raises(MeasurementError, match=r"^Prometheus at http://127\.0\.0\.1:1: "):
        asyncio.run(provider_of(settings(address="http://user:secret@127.0.0.1:1")).measure(Context("", open_session)))


def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody answers
        chosen = replace(settings(address=f"http://127.0.0.1:{silent.getsockname()[1]}"), timeout=0.05)
        with pytest.raises(MeasurementError, match=r"no answer within 0\.05 s"):
            asyncio.run(provider_of(chosen).measure(Context("", open_session)))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"query": ""}, ".query: is empty"),
        ({"query": None}, ".query: is missing"),
        ({"query": "x" * (MAX_QUERY + 1)}, ".query: 16385 characters are too many"),
        ({"address": "prometheus:9090"}, ".address: 'prometheus:9090' is not an http or https URL"),
        ({"address": "http://a/?q"}, ".address: 'http://a/?q' is not an http or https URL"),
        ({"address": "http://[/"}, ".address: 'http://[/' is not an http or https URL"),
        ({"timeout": -1}, ".timeout: -1 is not a whole number in range"),
        ({"timeout": 301}, ".timeout: 301 is not a whole number in range"),
        ({"headers": [{"key": "a b"}]}, ".headers[0].key: 'a b' is not the name of a header"),
        ({"headers": [{"key": "A", "value": "a\nb"}]}, ".headers[0].value: holds a line break"),
        ({"authentication": {}}, ".authentication: is not supported by this version"),
        ({"rangeQuery": {}}, ".rangeQuery: is not supported by this version"),
        ({"adress": ""}, ".adress: is unknown; did you mean address?"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        settings(**fields)
    assert str(caught.value).startswith(PATH + sentence)


def test_what_is_read() -> None:
    assert settings() == PrometheusSettings("up", "", 30)
    assert settings(timeout="0").timeout == 30
    read = settings(address="https://prometheus.monitoring:9090/p", timeout=5, insecure=True)
    assert (read.address, read.timeout, read.insecure) == ("https://prometheus.monitoring:9090/p", 5, True)
    assert "secret" not in repr(settings(headers=[{"key": "A", "value": "secret"}]))


def test_a_template_is_checked_before_its_arguments_are_there() -> None:
    provider = {"prometheus": {"address": "{{args.where}}", "query": "up{a='{{args.a}}'}", "timeout": "{{args.a}}"}}
    check_template({"args": [{"name": "where"}, {"name": "a"}], "metrics": [{"name": "m", "provider": provider}]})


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("http://a", True),
        ("https://a:1/b/", True),
        ("http://[::1]:9090", True),
        ("a", False),
        ("ftp://a", False),
        ("http://", False),
        ("", False),
        ("http://a?b", False),
        ("http://prome|theus:9090", False),
        ("http://a\\b", False),
        ("http://color api", False),
    ],
)
def test_addresses(text: str, good: bool) -> None:
    assert is_address(text) is good


@pytest.mark.parametrize("address", ["http://prome|theus:9090", "http://secret\\b", "prometheus:9090"])
def test_an_address_that_cannot_be_requested_is_an_error(address: str) -> None:
    """One that got past the settings: a run of an earlier version has it."""
    context = Context("shop", open_session, address)
    for provider in (provider_of(PrometheusSettings("up", address)), provider_of(PrometheusSettings("up"))):
        with pytest.raises(MeasurementError) as caught:
            asyncio.run(provider.measure(context))
        assert str(caught.value) == "Prometheus: its URL cannot be requested"
