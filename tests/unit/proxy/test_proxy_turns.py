"""Long work in short turns: how long a turn is, and what becomes of the garbage collector."""

from __future__ import annotations

import asyncio
import gc

import pytest

from coalmine.model.pieces import Pieces
from coalmine_proxy import turns
from coalmine_proxy.turns import in_turns


class Time:
    """A clock that goes on by itself with each look at it, and further when others have their turn."""

    def __init__(self, look: float) -> None:
        self.now = 0.0
        self.look = look
        #: When a turn of the work ended and when the next one began.
        self.turns: list[tuple[float, float]] = []

    def __call__(self) -> float:
        self.now += self.look
        return self.now


def run_with_others(steps: int, look: float, others: float) -> tuple[int, list[int]]:
    """Work of so many steps beside others who take so long at a time. Returns its result, and the steps a turn."""
    time = Time(look)
    counts = [0]

    def work() -> Pieces[int]:
        for _ in range(steps):
            counts[-1] += 1
            yield
        return 42

    async def beside() -> None:
        while True:
            await asyncio.sleep(0)
            time.now += others
            counts.append(0)

    async def both() -> int:
        other = asyncio.create_task(beside())
        await asyncio.sleep(0)
        try:
            return await in_turns(work(), time)
        finally:
            other.cancel()

    return asyncio.run(both()), counts


def test_work_that_fits_into_a_turn_is_done_in_one() -> None:
    assert run_with_others(4, turns.TURN / 10, 1.0) == (42, [4])


def test_long_work_lets_others_in() -> None:
    result, counts = run_with_others(100, turns.TURN / 5, 0.0)
    assert result == 42
    assert sum(counts) == 100
    assert max(counts) <= 6


def test_where_others_take_long_a_turn_is_a_part_of_that() -> None:
    others = 100 * turns.TURN
    _, counts = run_with_others(1000, turns.TURN / 5, others)
    # so that the work is done after five times its length, however full the loop is
    assert len(counts) - 1 <= 1000 / 5 / (turns.PART * 100) + 2


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_work_that_fails_leaves_the_collector_as_it_was(error: type[BaseException]) -> None:
    def work() -> Pieces[None]:
        for _ in range(10):
            yield
        raise error

    async def test() -> None:
        with pytest.raises(error):
            await in_turns(work(), Time(1.0))
        assert gc.isenabled()

    asyncio.run(test())
