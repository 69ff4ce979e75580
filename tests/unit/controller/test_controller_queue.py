"""The work queue, on a virtual clock: as client-go's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import START, now, run

from coalmine_controller.queue import Queue


def story(tell: Callable[[Queue[str]], Awaitable[None]]) -> None:
    async def main() -> None:
        await tell(Queue(asyncio.get_running_loop().call_later, now))

    run(main())


async def taken(queue: Queue[str], seconds: float) -> list[tuple[float, str]]:
    """What is taken, and when, within `seconds`."""
    seen = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                key = await queue.take()
                seen.append((round(now() - START, 3), key))
                queue.done(key)
    except TimeoutError:
        return seen


def test_a_key_that_waits_is_not_added_twice() -> None:
    async def tell(queue: Queue[str]) -> None:
        for key in "abab":
            queue.add(key)
        assert len(queue) == 2
        assert [k for _, k in await taken(queue, 1)] == ["a", "b"]
        assert len(queue) == 0

    story(tell)


def test_a_key_that_is_worked_on_is_worked_on_again_afterwards() -> None:
    async def tell(queue: Queue[str]) -> None:
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0, "one worker at a time"
        queue.done("a")
        assert [k for _, k in await taken(queue, 1)] == ["a"], "once, not twice"

    story(tell)


def test_a_timer_while_it_is_worked_on() -> None:
    async def tell(queue: Queue[str]) -> None:
        queue.add("a")
        assert await queue.take() == "a"
        queue.add_after("a", 1)
        await asyncio.sleep(2)
        queue.done("a")
        assert await taken(queue, 10) == [(2.0, "a")]

    story(tell)


def test_the_earliest_timer_wins() -> None:
    async def tell(queue: Queue[str]) -> None:
        for seconds in (9, 3, 6):
            queue.add_after("a", seconds)
        queue.add_after("b", 5)
        assert await taken(queue, 60) == [(3.0, "a"), (5.0, "b")]
        queue.add_after("a", 0)
        assert [k for _, k in await taken(queue, 60)] == ["a"], "a timer that fired is no obstacle"

    story(tell)


def test_a_failure_backs_off_and_a_success_forgets_it() -> None:
    async def tell(queue: Queue[str]) -> None:
        waits = [queue.failed("a") for _ in range(14)]
        assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
        assert waits == sorted(waits)
        assert waits[-1] == 30.0
        assert queue.failed("b") == 0.05, "each key by itself"
        queue.succeeded("a")
        assert queue.failed("a") == 0.05

    story(tell)


def test_timers_do_not_pile_up() -> None:
    """Each look asks for the next one in 15 s, and events bring about looks in between."""

    async def tell(queue: Queue[str]) -> None:
        for _ in range(1000):
            queue.add("a")
            await queue.take()
            queue.add_after("a", 15)
            queue.done("a")
        assert len(await taken(queue, 100)) == 1
        assert not queue._timers
        assert not queue._failures

    story(tell)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "after", "take", "done", "fail", "wait"]), st.sampled_from("abc"), st.integers(0, 3)
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_no_wake_up_is_lost_and_no_key_is_in_two_hands(steps: list[tuple[str, str, int]]) -> None:
    """Whatever the order: after the last request for a key, somebody takes it."""

    async def tell(queue: Queue[str]) -> None:
        owed: set[str] = set()
        hands: list[str] = []
        for verb, key, number in steps:
            if verb == "add":
                queue.add(key)
                owed.add(key)
            elif verb == "after":
                queue.add_after(key, number)
                owed.add(key)
            elif verb == "take" and len(queue):
                got = await queue.take()
                assert got not in hands
                hands.append(got)
                if got not in queue._timers:
                    owed.discard(got)
            elif verb in ("done", "fail") and key in hands:
                hands.remove(key)
                if verb == "fail":
                    queue.failed(key)
                    owed.add(key)
                queue.done(key)
            elif verb == "wait":
                await asyncio.sleep(number)
        for key in hands:
            queue.done(key)
        assert owed <= {key for _, key in await taken(queue, 100)}

    story(tell)
