"""Watches one Rollout, and remembers what it said when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from coalmine.kube.client import Client
from coalmine.kube.resources import ROLLOUTS, Object, name_of
from coalmine.kube.verbs import ApiError
from coalmine.model.rollout import Phase, Status
from coalmine.model.weights import Weight
from coalmine_sandbox.story.ledger import Period


class Seen(NamedTuple):
    """A status, and when it was seen."""

    at: float
    status: Status


class Follower:
    """The history of the Rollout `name`; `changed` is called with each new status."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        clock: Callable[[], float],
        changed: Callable[[Status], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._changed = changed
        self._news = asyncio.Condition()
        self.history: list[Seen] = []

    async def run(self) -> None:
        """Watch until cancelled; after an error from the state that then is."""
        while True:
            try:
                items, version = await self._client.list(ROLLOUTS, self._namespace)
                for item in items:
                    await self._take(item)
                async for event in self._client.watch(ROLLOUTS, self._namespace, version):
                    if event.type in ("ADDED", "MODIFIED"):
                        await self._take(event.object)
            except ApiError:
                await asyncio.sleep(0.2)

    async def _take(self, raw: Object) -> None:
        if name_of(raw) != self._name:
            return
        status = Status.from_json(raw.get("status") or {})
        if self.history and self.history[-1].status == status:
            return
        async with self._news:
            self.history.append(Seen(self._clock(), status))
            self._changed(status)
            self._news.notify_all()

    async def until(self, condition: Callable[[Status], bool]) -> Status:
        """Wait until a status (the present one included) fulfils `condition`."""
        async with self._news:
            await self._news.wait_for(lambda: bool(self.history) and condition(self.history[-1].status))
            return self.history[-1].status

    @property
    def last(self) -> Status:
        return self.history[-1].status if self.history else Status()


def periods(history: list[Seen], fingerprint: str, end: float) -> list[Period]:
    """The periods of constant, acknowledged weight of the last attempt at the canary `fingerprint`; the
    last one may be the 0 % of an abort. Seen late by a few milliseconds at most: an intended weight is written
    before it is pushed, an acknowledged one after."""
    found: list[Period] = []
    since: float | None = None
    weight = Weight.ZERO
    attempt = max((s.attempt for _, s in history if s.canary and s.canary.fingerprint == fingerprint), default=0)
    for at, status in history:
        current = status.canary is not None and status.attempt == attempt
        steady = current and status.weight == status.actual_weight and _counts(status)
        if since is not None and (not steady or status.weight != weight):
            found.append(Period(weight, since, at))
            since = None
        if steady and since is None:
            since, weight = at, status.weight
    if since is not None:
        found.append(Period(weight, since, end))
    return found


def _counts(status: Status) -> bool:
    return status.weight > Weight.ZERO or status.phase is Phase.DEGRADED
