"""The shell around runs, against an API server in memory and a real HTTP server."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from coalmine.kube.resources import ANALYSIS_RUNS, Object, Resource
from coalmine.kube.verbs import ApiError, ConflictError
from coalmine_controller.analysis.runner import Runner

START = 1_700_000_000.0


class Api:
    """One AnalysisRun, with resourceVersions as preconditions. `before` acts ahead of each write."""

    def __init__(self, run: Object | None) -> None:
        self.run = run
        self.writes: list[Object] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def change(self, **status: Any) -> None:
        """Somebody else writes the object."""
        assert self.run is not None
        self.run = copy.deepcopy(self.run)
        self.run.setdefault("status", {}).update(status)
        self.run["metadata"]["resourceVersion"] += "x"

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        assert (resource, namespace, name) == (ANALYSIS_RUNS, "default", "run")
        return copy.deepcopy(self.run)

    async def replace(self, resource: Resource, namespace: str, obj: Object, subresource: str) -> Object:
        assert (resource, namespace, subresource) == (ANALYSIS_RUNS, "default", "status")
        self.before()
        assert self.run is not None
        if obj["metadata"]["resourceVersion"] != self.run["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "the object has been modified")
        self.run = json.loads(json.dumps({**self.run, "status": obj["status"]}))
        self.run["metadata"]["resourceVersion"] += "y"
        self.writes.append(self.run["status"])
        self.after()
        return self.run


class World:
    """The API, a clock that stands still, and the application that is measured."""

    def __init__(self, url: str) -> None:
        self.now = START
        self.answers: list[str] = []
        self.asked: list[str] = []
        self.url = url
        self.api = Api(None)
        self.runner = self.another_controller()

    def another_controller(self) -> Runner:
        self.runner = Runner(self.api, lambda: self.now)  # type: ignore[arg-type]
        return self.runner

    def metric(self, name: str = "webcheck", **fields: Any) -> Object:
        provider = {"web": {"url": f"{self.url}/{name}", "jsonPath": "{$.status}"}}
        return {
            "name": name,
            "interval": "5s",
            "failureLimit": 1,
            "successCondition": 'result == "ok"',
            "provider": provider,
            **fields,
        }

    def given(self, *metrics: Object, **spec: Any) -> None:
        self.api.run = {
            "apiVersion": "coalmine.dev/v1alpha1",
            "kind": "AnalysisRun",
            "metadata": {"name": "run", "namespace": "default", "uid": "u1", "resourceVersion": "1"},
            "spec": {"metrics": list(metrics or (self.metric(),)), **spec},
        }

    async def look(self, after: float = 0) -> float | None:
        self.now += after
        return await self.runner.reconcile("default", "run")

    @property
    def status(self) -> Object:
        assert self.api.run is not None
        return dict(self.api.run["status"])

    def counted(self, metric: str = "webcheck") -> tuple[int, int, int]:
        result = next(r for r in self.status["metricResults"] if r["name"] == metric)
        return result.get("successful", 0), result.get("failed", 0), result.get("error", 0)


def story(play: Callable[[World], Awaitable[None]]) -> None:
    """Run `play` beside an application that gives the world's answers in turn, then "ok"."""

    async def main() -> None:
        async def handler(request: web.Request) -> web.Response:
            world.asked.append(request.path)
            answer = world.answers.pop(0) if world.answers else "ok"
            return web.json_response({"status": answer}, status=500 if answer == "error" else 200)

        app = web.Application()
        app.router.add_get("/{metric}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            world = World(f"http://127.0.0.1:{runner.addresses[0][1]}")
            await play(world)
        finally:
            await runner.cleanup()

    asyncio.run(main())


def test_the_articles_failure() -> None:
    async def play(world: World) -> None:
        world.given()
        world.answers = ["ok", "nok", "nok"]
        assert await world.look() == 5.0
        assert world.status["phase"] == "Running"
        assert await world.look(after=4) == 1.0
        assert await world.look(after=1) == 5.0
        assert world.status["phase"] == "Running"
        assert await world.look(after=5) is None
        assert world.status["phase"] == "Failed"
        assert world.status["message"] == 'metric "webcheck" assessed Failed due to failed (2) > failureLimit (1)'
        assert world.counted() == (1, 2, 0)
        assert [m["value"] for m in world.status["metricResults"][0]["measurements"]] == ['"ok"', '"nok"', '"nok"']
        # a finished run is never touched
        writes, asked = len(world.api.writes), len(world.asked)
        assert await world.look(after=99) is None
        assert (len(world.api.writes), len(world.asked)) == (writes, asked)

    story(play)


def test_a_look_with_nothing_due_writes_nothing() -> None:
    async def play(world: World) -> None:
        world.given()
        await world.look()
        await world.look(after=1)
        assert len(world.api.writes) == 1
        assert len(world.asked) == 1

    story(play)


def test_the_start_is_written_even_when_nothing_is_due() -> None:
    async def play(world: World) -> None:
        world.given(world.metric(initialDelay="30s"))
        assert await world.look() == 30.0
        world.another_controller()
        assert await world.look(after=10) == 20.0
        await world.look(after=20)
        assert world.asked == ["/webcheck"]

    story(play)


def test_errors_are_measurements() -> None:
    async def play(world: World) -> None:
        world.given(world.metric(consecutiveErrorLimit=1))
        world.answers = ["error", "error"]
        assert await world.look() == 10.0
        assert world.counted() == (0, 0, 1)
        message = world.status["metricResults"][0]["measurements"][0]["message"]
        assert message.endswith("/webcheck: answered 500, not 2xx")
        assert await world.look(after=10) is None
        assert world.status["phase"] == "Error"
        assert world.status["message"].endswith(f"consecutiveErrors (2) > consecutiveErrorLimit (1): {message}")

    story(play)


@pytest.mark.parametrize("place", ["provider_of", "assess"])
def test_a_judge_with_a_bug_fails_closed(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(f"coalmine_controller.analysis.runner.{place}", bug)

    async def play(world: World) -> None:
        world.given(world.metric(consecutiveErrorLimit=0))
        await world.look()
        assert world.status["phase"] == "Error"
        message = world.status["metricResults"][0]["measurements"][0]["message"]
        assert message == "measuring failed with a fault of Coalmine's (ZeroDivisionError): see the controller's log"
        assert "ZeroDivisionError: a bug" in caplog.text
        assert "default/run" in caplog.text

    story(play)


def test_a_condition_that_fails_on_the_result_is_an_error() -> None:
    async def play(world: World) -> None:
        world.given(world.metric(successCondition="result > 1", consecutiveErrorLimit=0))
        await world.look()
        assert world.status["message"].endswith("successCondition: column 8: > does not take a string and an integer")
        assert world.status["metricResults"][0]["measurements"][0]["value"] == '"ok"'

    story(play)


def test_metrics_are_measured_together_and_one_ends_the_other() -> None:
    async def play(world: World) -> None:
        world.given(world.metric("a", failureLimit=0, successCondition="result == 'x'"), world.metric("b"))
        assert await world.look() is None
        assert sorted(world.asked) == ["/a", "/b"]
        phases = {r["name"]: r["phase"] for r in world.status["metricResults"]}
        assert phases == {"a": "Failed", "b": "Successful"}

    story(play)


def test_terminate() -> None:
    async def play(world: World) -> None:
        world.given()
        await world.look()
        assert world.api.run is not None
        world.api.run["spec"]["terminate"] = True
        assert await world.look(after=5) is None
        assert (world.status["phase"], len(world.asked)) == ("Successful", 1)

    story(play)


def test_a_run_that_cannot_be_carried_out_ends_with_the_reason() -> None:
    async def play(world: World) -> None:
        world.given(world.metric(count=2, interval=None))
        assert await world.look() is None
        assert world.status == {
            "phase": "Error",
            "message": "analysis spec invalid: spec.metrics[0].interval: is missing, but count is 2; "
            'write for example "30s"',
        }
        assert world.asked == []

    story(play)


def test_a_run_that_is_gone_or_going_is_left_alone() -> None:
    async def play(world: World) -> None:
        assert await world.look() is None
        world.given()
        assert world.api.run is not None
        world.api.run["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:20Z"
        assert await world.look() is None
        assert world.asked == []

    story(play)


def test_a_conflict_neither_loses_nor_repeats_the_measurement() -> None:
    async def play(world: World) -> None:
        world.given()
        changes = iter([lambda: world.api.change(note="hello"), lambda: world.api.change(note="again")])
        world.api.before = lambda: next(changes, lambda: None)()
        assert await world.look() == 5.0
        assert world.counted() == (1, 0, 0)
        assert len(world.asked) == 1

    story(play)


def test_terminated_while_measuring() -> None:
    async def play(world: World) -> None:
        world.given()
        once = iter([lambda: world.api.change(phase="Successful", message="by somebody else")])
        world.api.before = lambda: next(once, lambda: None)()
        assert await world.look() is None
        assert world.status == {"phase": "Successful", "message": "by somebody else"}

    story(play)


def test_deleted_and_made_anew_while_measuring() -> None:
    async def play(world: World) -> None:
        world.given()

        def remake() -> None:
            assert world.api.run is not None
            world.api.run["metadata"].update(uid="u2", resourceVersion="7")

        world.api.before = remake
        assert await world.look() is None
        assert world.api.writes == []

    story(play)


@pytest.mark.parametrize("applied", [False, True], ids=["lost on the way there", "lost on the way back"])
def test_a_write_without_an_answer_neither_loses_nor_repeats_the_measurement(applied: bool) -> None:
    async def play(world: World) -> None:
        world.given()
        await world.look()
        faults = iter([ApiError(0, "Unreachable", "the API server cannot be reached")])

        def fail() -> None:
            fault = next(faults, None)
            if fault is not None:
                raise fault

        if applied:
            world.api.after = fail
        else:
            world.api.before = fail
        with pytest.raises(ApiError, match="cannot be reached"):
            await world.look(after=5)
        assert await world.look(after=1) == 4.0
        assert world.counted() == (2, 0, 0)
        assert len(world.asked) == 2

    story(play)


def test_two_controllers_at_once_fill_a_place_once() -> None:
    """The old leader measures; before it writes, the new one has measured and written."""

    async def play(world: World) -> None:
        world.given()
        await world.look()
        other: list[Object] = []
        old = world.runner
        new = world.another_controller()
        world.now += 5

        measured = asyncio.Event()
        wrote = asyncio.Event()
        replace = world.api.replace

        async def held(resource: Resource, namespace: str, obj: Object, subresource: str) -> Object:
            if not measured.is_set():
                measured.set()
                await wrote.wait()
            return await replace(resource, namespace, obj, subresource)

        world.api.replace = held  # type: ignore[method-assign]

        async def second() -> None:
            await measured.wait()
            await new.reconcile("default", "run")
            other.append(world.status)
            wrote.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(old.reconcile("default", "run"))
            group.create_task(second())
        assert world.status == other[0]
        assert world.counted() == (2, 0, 0)

    story(play)


def test_a_controller_that_takes_over_goes_on_where_the_other_stood() -> None:
    async def play(world: World) -> None:
        world.given(world.metric(count=4, failureLimit=1))
        world.answers = ["ok", "nok", "ok", "ok"]
        after = 0.0
        for _ in range(4):
            requeue = await world.look(after=after)
            world.another_controller()
            after = requeue or 0.0
        assert (world.status["phase"], world.counted(), len(world.asked)) == ("Successful", (3, 1, 0), 4)

    story(play)
