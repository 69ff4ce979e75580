"""Leader election by a Lease, and the term that orders what leaders say.

The client library has a leader election, which we do not use: it does not write leaseTransitions, it
does not notice that the task which leads has died, and it does not release the Lease
(docs/decisions/0003-leader-election.md).

Rules, as client-go's leaderelection has them:
- A Lease whose renewTime, as seen by our own clock since it last changed, is older than its duration
  may be taken; times written by others are never compared with our clock.
- Taking it raises leaseTransitions by one, in the same guarded write: that number is the term.
- Who cannot renew within the renew deadline stops leading, at once and for good: `lead` raises.
  The deadline is shorter than the duration by more than one request's time limit.
- A clean end gives the Lease up, so that a successor need not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from coalmine.kube.client import ApiError, Client, ConflictError
from coalmine.kube.resources import LEASES, Object
from coalmine.model.durations import format_time
from coalmine.model.errors import RemoteError

_log = logging.getLogger(__name__)


class LeadershipLostError(RemoteError):
    """The Lease could not be renewed in time, or somebody else took it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. client-go's defaults."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class Elector:
    """Competes for one Lease under one identity."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timing = timing
        self._wall = wall
        self._monotonic = monotonic
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    async def lead(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Wait for the Lease, then run `work(term)` while it is ours.

        Returns when `work` does; raises what it raises, or LeadershipLostError; `work` is
        cancelled then.
        """
        lease = await self._acquire()
        term = int(lease["spec"].get("leaseTransitions") or 0)
        _log.info("%s leads, term %d", self._identity, term)
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep(lease))
                await work(term)
                keeping.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            await self._give_up()

    async def _acquire(self) -> Object:
        while True:
            try:
                lease = await self._try()
            except ApiError as error:
                _log.warning("lease: %s", error)
                lease = None
            if lease is not None:
                return lease
            await asyncio.sleep(self._timing.retry)

    async def _try(self) -> Object | None:
        lease = await self._client.find(LEASES, self._namespace, self._name)
        if lease is None:
            metadata = {"name": self._name, "namespace": self._namespace}
            fresh = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            with contextlib.suppress(ConflictError):
                return await self._client.create(LEASES, self._namespace, {**fresh, "spec": self._spec(1)})
            return None
        spec = lease["spec"]
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._monotonic()
        holder = spec.get("holderIdentity")
        duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        if holder and self._monotonic() < self._seen_at + duration:
            return None
        term = int(spec.get("leaseTransitions") or 0) + 1
        with contextlib.suppress(ConflictError):
            return await self._client.replace(LEASES, self._namespace, {**lease, "spec": self._spec(term)})
        return None

    async def _keep(self, lease: Object) -> None:
        """Renew until it fails for as long as the renew deadline."""
        renewed = self._monotonic()
        while True:
            await asyncio.sleep(self._timing.retry)
            try:
                async with asyncio.timeout(max(0.1, renewed + self._timing.renew_deadline - self._monotonic())):
                    spec = {**lease["spec"], "renewTime": format_time(self._wall())}
                    lease = await self._client.replace(LEASES, self._namespace, {**lease, "spec": spec})
                renewed = self._monotonic()
            except (ApiError, TimeoutError) as error:
                _log.warning("lease: cannot renew: %s", error or "timeout")
                if self._monotonic() >= renewed + self._timing.renew_deadline:
                    raise LeadershipLostError("the Lease could not be renewed in time") from error
                with contextlib.suppress(ApiError):
                    current = await self._client.get(LEASES, self._namespace, self._name)
                    if current["spec"].get("holderIdentity") != self._identity:
                        raise LeadershipLostError("somebody else holds the Lease") from error
                    lease = current

    async def _give_up(self) -> None:
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(2):
                lease = await self._client.get(LEASES, self._namespace, self._name)
                if lease["spec"].get("holderIdentity") == self._identity:
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.replace(LEASES, self._namespace, {**lease, "spec": spec})

    def _spec(self, term: int) -> Object:
        now = format_time(self._wall())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": term,
        }
