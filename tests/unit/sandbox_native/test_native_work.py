"""What is tried again, what is not, and what ends the process."""

from __future__ import annotations

import asyncio

import pytest
from virtual_time import now, run

from coalmine.kube.verbs import ApiError, ConflictError
from coalmine_sandbox.api.errors import forbidden
from coalmine_sandbox.native.work import AgainError, Work

ENDS = forbidden("pods", "a", "unable to create new content in namespace test because it is being terminated")


async def looks(*outcomes: Exception | float | None) -> list[float]:
    """When a key is looked at, in seconds; `outcomes` are what each look ends with, None from then on."""
    began, times, left = now(), [], list(outcomes)

    async def sync(_key: str) -> float | None:
        times.append(now() - began)
        outcome = left.pop(0) if left else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    work: Work[str] = Work("test", sync)
    work.add("key")
    task = asyncio.create_task(work.run())
    await asyncio.sleep(100)
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
    return times


CASES = [
    pytest.param([None], [0], id="done"),
    pytest.param([7.0], [0, 7], id="asked for again"),
    pytest.param([ConflictError(409, "Conflict", "modified")], [0, 0.05], id="another write came first"),
    pytest.param([AgainError("later")] * 3, [0, 0.05, 0.15, 0.35], id="with a growing pause"),
    pytest.param([ApiError(500, "InternalError", "no"), None], [0, 0.05], id="the API server was away"),
    pytest.param([ApiError(403, "Forbidden", "exceeded quota")], [0, 0.05], id="refused"),
    pytest.param([ApiError(403, "Forbidden", str(ENDS))], [0], id="refused for good: its namespace ends"),
]


@pytest.mark.parametrize(("outcomes", "expected"), CASES)
def test_when_a_key_is_looked_at(outcomes: list[Exception | float | None], expected: list[float]) -> None:
    assert run(looks(*outcomes)) == pytest.approx(expected)


def test_a_fault_of_ours_ends_it() -> None:
    with pytest.raises(BaseExceptionGroup):
        run(looks(ZeroDivisionError()))


def test_who_never_waits_lets_others_have_their_turn() -> None:
    """One that writes and looks again at once, as on an API in its own process; the other is to see each write."""

    async def main() -> None:
        value, seen = 0, []

        async def write(_key: str) -> None:
            nonlocal value
            if value < 5:
                value += 1
                readers.add("key")
                writers.add("key")

        async def read(_key: str) -> None:
            seen.append(value)

        writers: Work[str] = Work("writers", write)
        readers: Work[str] = Work("readers", read)
        tasks = [asyncio.create_task(work.run()) for work in (readers, writers)]
        await asyncio.sleep(1)
        writers.add("key")
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert seen == [1, 2, 3, 4, 5]

    run(main())
