"""Leader election, on a virtual clock: one leads at a time, whatever the API server does to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from memory_cluster import MemoryCluster, unreachable
from virtual_time import now, run

from coalmine.kube.lease import Elector, LeadershipLostError, Timing
from coalmine.kube.resources import LEASES
from coalmine.kube.verbs import ConflictError

TIMING = Timing()
#: A minute after the terms of a new Lease begin to count.
WALL = 1_577_836_800.0 + 60.0


class Stage:
    """Electors on one Lease, and who leads when."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.leading: dict[str, int] = {}
        self.history: list[tuple[str, int]] = []
        self.cut_off: set[str] = set()

    def elector(self, name: str, timing: Timing = TIMING) -> Elector:
        return Elector(
            _Connection(self, name),  # type: ignore[arg-type]
            "system",
            "lease",
            name,
            timing,
            wall=lambda: WALL + now() - 1_000_000,
            monotonic=now,
        )

    async def lead(self, name: str, work: Callable[[int], Awaitable[None]] | None = None) -> None:
        async def working(term: int) -> None:
            assert not self.leading, f"{name} leads beside {self.leading}"
            self.leading[name] = term
            self.history.append((name, term))
            try:
                await (work(term) if work else asyncio.Event().wait())
            finally:
                del self.leading[name]

        await self.elector(name).lead(working)

    @property
    def lease(self) -> Any:
        found = self.cluster.stored(LEASES, "system", "lease")
        assert found is not None
        return found["spec"]


class _Connection:
    """One elector's way to the cluster, which can be cut."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name

    def __getattr__(self, method: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._name in self._stage.cut_off:
                raise unreachable()
            return await getattr(self._stage.cluster, method)(*args, **kwargs)

        return call


def test_the_first_one_leads_and_the_others_wait() -> None:
    async def story() -> None:
        stage = Stage()
        tasks = [asyncio.create_task(stage.lead(name)) for name in "abc"]
        await asyncio.sleep(600)
        assert len(stage.history) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(story())


def test_a_clean_end_lets_the_next_one_in_and_each_take_over_raises_the_term_by_one() -> None:
    async def story() -> None:
        stage = Stage()
        ended = now()

        async def briefly(term: int) -> None:
            nonlocal ended
            await asyncio.sleep(30)
            ended = now()

        first = asyncio.create_task(stage.lead("a", briefly))
        await asyncio.sleep(5)
        second = asyncio.create_task(stage.lead("b"))
        await first
        while not stage.leading:  # noqa: ASYNC110  on a virtual clock
            await asyncio.sleep(0.1)
        assert now() < ended + TIMING.retry + 0.5, "not after the Lease's 15 seconds"
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert stage.lease["holderIdentity"] == "", "SIGTERM releases too"
        third = asyncio.create_task(stage.lead("c"))
        await asyncio.sleep(10)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        assert stage.history == [("a", 1), ("b", 2), ("c", 3)]

    run(story())


def test_a_new_lease_starts_above_the_terms_of_an_earlier_installation() -> None:
    async def story() -> None:
        stage = Stage()
        await stage.lead("a", lambda term: asyncio.sleep(86_400))
        before = stage.history[-1][1]
        for _ in range(20):
            await stage.lead("a", lambda term: asyncio.sleep(300))
        stage.cluster.remove(LEASES, "system", "lease")
        highest = stage.history[-1][1]
        await stage.lead("b", lambda term: asyncio.sleep(1))
        assert before + 20 == highest < stage.history[-1][1]

    run(story())


def test_who_is_cut_off_stops_before_another_one_leads() -> None:
    async def story() -> None:
        stage = Stage()
        first = asyncio.create_task(stage.lead("a"))
        await asyncio.sleep(61)
        second = asyncio.create_task(stage.lead("b"))
        await asyncio.sleep(7.3)
        stage.cut_off.add("a")
        cut = now()
        with pytest.raises(LeadershipLostError):
            await first
        assert now() <= cut + TIMING.renew_deadline
        assert not stage.leading
        await asyncio.sleep(TIMING.duration + TIMING.retry)
        assert stage.history == [("a", 1), ("b", 2)]
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    run(story())


@pytest.mark.parametrize("delay", [1.0, 5.0, 7.9])
@pytest.mark.parametrize("verb", ["PUT", "GET", ""])
def test_an_api_server_that_hangs_never_makes_two_lead(delay: float, verb: str) -> None:
    """Requests take up to the client's time limit, then fail or succeed: `Stage.lead` asserts that one leads."""

    async def story() -> None:
        stage = Stage()
        turn = 0

        async def hang(seen: str, path: str) -> None:
            nonlocal turn
            turn += 1
            if not verb or seen == verb:
                await asyncio.sleep(delay)
                if turn % 3 == 0:
                    raise unreachable()

        async def again_and_again(name: str) -> None:
            while True:
                try:
                    await stage.lead(name)
                except LeadershipLostError:
                    await asyncio.sleep(1)

        tasks = [asyncio.create_task(again_and_again("a"))]
        await asyncio.sleep(20)
        tasks += [asyncio.create_task(again_and_again(name)) for name in "bc"]
        stage.cluster.before = hang
        await asyncio.sleep(600)
        assert not [t for t in tasks if t.done()], "an assertion failed"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        terms = [term for _, term in stage.history]
        assert terms == sorted(set(terms)), "no term twice"

    run(story())


def test_a_lease_whose_answer_was_slow_is_held_from_when_it_was_asked_for() -> None:
    """The others see the write when it is made, not when its answer comes."""

    async def story() -> None:
        stage = Stage()
        written = 0.0

        original = stage.cluster.create

        async def slow(*args: Any, **kwargs: Any) -> Any:
            nonlocal written
            answer = await original(*args, **kwargs)
            written = now()
            await asyncio.sleep(7.5)
            stage.cut_off.add("a")
            return answer

        stage.cluster.create = slow  # type: ignore[method-assign]
        with pytest.raises(LeadershipLostError):
            await stage.lead("a")
        assert now() <= written + TIMING.renew_deadline

    run(story())


def test_somebody_else_took_the_lease() -> None:
    async def story() -> None:
        stage = Stage()
        first = asyncio.create_task(stage.lead("a"))
        await asyncio.sleep(5)
        stage.cluster.put(
            LEASES,
            {
                "metadata": {"name": "lease", "namespace": "system"},
                "spec": {"holderIdentity": "thief", "leaseTransitions": 9},
            },
        )
        began = now()
        with pytest.raises(LeadershipLostError, match="somebody else"):
            await first
        assert now() <= began + TIMING.retry
        assert stage.lease["holderIdentity"] == "thief", "what is not ours is not given up"

    run(story())


def test_somebody_deleted_the_lease() -> None:
    async def story() -> None:
        stage = Stage()
        first = asyncio.create_task(stage.lead("a"))
        await asyncio.sleep(5)
        stage.cluster.remove(LEASES, "system", "lease")
        with pytest.raises(LeadershipLostError, match="deleted"):
            await first

    run(story())


def test_work_that_fails_ends_leading_with_its_error_and_gives_the_lease_up() -> None:
    async def story() -> None:
        stage = Stage()

        async def fail(term: int) -> None:
            await asyncio.sleep(3)
            raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError, match="a bug"):
            await stage.lead("a", fail)
        assert stage.lease["holderIdentity"] == ""

    run(story())


def test_work_is_ended_when_leadership_is_lost() -> None:
    async def story() -> None:
        stage = Stage()
        ended = asyncio.Event()

        async def work(term: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        first = asyncio.create_task(stage.lead("a", work))
        await asyncio.sleep(5)
        stage.cut_off.add("a")
        with pytest.raises(LeadershipLostError):
            await first
        assert ended.is_set()

    run(story())


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_conflict_while_taking_it_is_tried_again(verb: str) -> None:
    async def story() -> None:
        stage = Stage()
        if verb == "PUT":
            spec = {"holderIdentity": "", "leaseTransitions": 4}
            stage.cluster.put(LEASES, {"metadata": {"name": "lease", "namespace": "system"}, "spec": spec})
        refused = 0

        def refuse(seen: str, path: str) -> None:
            nonlocal refused
            if seen == verb and refused < 2:
                refused += 1
                raise ConflictError(409, "Conflict", "somebody was first")

        stage.cluster.before = refuse
        await stage.lead("a", lambda term: asyncio.sleep(1))
        assert refused == 2
        assert stage.history == [("a", 5 if verb == "PUT" else 1)]

    run(story())


def test_a_lease_that_a_person_made_is_taken() -> None:
    async def story() -> None:
        stage = Stage()
        stage.cluster.put(LEASES, {"metadata": {"name": "lease", "namespace": "system"}})
        await stage.lead("a", lambda term: asyncio.sleep(1))
        assert stage.history == [("a", 1)]

    run(story())


def test_times_of_others_are_not_compared_with_our_clock() -> None:
    """The holder's renewTime is of another century, but it changes: it lives."""

    async def story() -> None:
        stage = Stage()

        def write(n: int) -> None:
            spec = {
                "holderIdentity": "other",
                "renewTime": f"1999-01-01T00:00:{n % 60:02}Z",
                "leaseDurationSeconds": 15,
                "leaseTransitions": 3,
            }
            stage.cluster.put(LEASES, {"metadata": {"name": "lease", "namespace": "system"}, "spec": spec})

        write(0)
        task = asyncio.create_task(stage.lead("a"))
        for n in range(60):
            await asyncio.sleep(2)
            write(n)
            assert not stage.leading
        last = now()
        while not stage.leading:  # noqa: ASYNC110  on a virtual clock
            await asyncio.sleep(0.5)
        assert last + 15 <= now() <= last + 15 + 2 * TIMING.retry
        assert stage.history == [("a", 4)]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story())
