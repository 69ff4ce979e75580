"""Leader election by a Lease, and the term that orders what leaders say.

The client library has a leader election, which we do not use: it does not write leaseTransitions, it
does not notice that the task which leads has died, and it does not release the Lease
(docs/decisions/0003-leader-election.md).

Rules, as client-go's leaderelection has them:
- A Lease whose renewTime, as seen by our own clock since it last changed, is older than its duration
  may be taken; times written by others are never compared with our clock.
- Taking it raises leaseTransitions by one, in the same guarded write: that number is the term. A Lease
  that is made anew starts at the minutes since 2020: a sidecar that outlived an earlier installation
  (whose Lease went with its namespace) refuses terms lower than the one it knows.
- Who cannot renew within the renew deadline stops leading, at once and for good: `lead` raises. The
  deadline is counted from before the last good write was sent, so it always ends before
  another one, who counts the longer duration from seeing that write, may take the Lease.
- A clean end gives the Lease up, so that a successor need not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from coalmine.kube.resources import LEASES, Object
from coalmine.kube.verbs import ApiError, ConflictError, Verbs
from coalmine.model.durations import format_time
from coalmine.model.errors import RemoteError

_log = logging.getLogger(__name__)


#: 2020-01-01T00:00:00Z in Unix time. leaseTransitions is an int32: minutes last for four thousand years.
_EPOCH = 1_577_836_800


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
        client: Verbs,
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
        self._renewed = 0.0  # when the last good write was sent

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
            term = max(1, int(self._wall() - _EPOCH) // 60)
            self._renewed = self._monotonic()
            with contextlib.suppress(ConflictError):
                return await self._client.create(LEASES, self._namespace, {**fresh, "spec": self._spec(term)})
            return None
        spec = lease.get("spec") or {}
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._monotonic()
        holder = spec.get("holderIdentity")
        duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        if holder and self._monotonic() < self._seen_at + duration:
            return None
        term = int(spec.get("leaseTransitions") or 0) + 1
        self._renewed = self._monotonic()
        with contextlib.suppress(ConflictError):
            return await self._client.replace(LEASES, self._namespace, {**lease, "spec": self._spec(term)})
        return None

    async def _keep(self, lease: Object) -> None:
        """Renew until it fails for as long as the renew deadline."""
        while True:
            left = self._renewed + self._timing.renew_deadline - self._monotonic()
            try:
                # one limit for the wait and for whatever the API server does to us
                async with asyncio.timeout(left):
                    await asyncio.sleep(min(self._timing.retry, max(left / 2, self._timing.retry / 4)))
                    lease = await self._renew(lease)
            except TimeoutError as error:
                raise LeadershipLostError("the Lease could not be renewed in time") from error

    async def _renew(self, lease: Object) -> Object:
        """One try; the Lease as it is then."""
        sent = self._monotonic()
        spec = {**lease["spec"], "renewTime": format_time(self._wall())}
        try:
            lease = await self._client.replace(LEASES, self._namespace, {**lease, "spec": spec})
        except ApiError as error:
            _log.warning("lease: cannot renew: %s", error)
        else:
            self._renewed = sent
            return lease
        try:
            current = await self._client.find(LEASES, self._namespace, self._name)
        except ApiError:
            return lease
        if current is None or (current.get("spec") or {}).get("holderIdentity") != self._identity:
            raise LeadershipLostError("somebody else holds the Lease, or deleted it")
        return current

    async def _give_up(self) -> None:
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(2):
                lease = await self._client.get(LEASES, self._namespace, self._name)
                if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
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
