"""The controller's loop: look at each Deployment that may have changed, decide, act, look again.

Rules: a request is a name, what to do follows from the state alone. One worker at a time has a
Deployment. A conflict or an unreachable API server ends a pass, which is repeated with backoff. So does anything
else that goes wrong in it: that is a bug, logged with its traceback and counted, but what one Deployment
holds must not stop the canaries, and the aborts, of all others. What goes wrong outside a pass takes
the process with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace

import aiohttp

from coalmine.kube.cache import Key
from coalmine.kube.client import Client
from coalmine.kube.resources import (
    DEPLOYMENTS,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.kube.verbs import ApiError, ConflictError
from coalmine.model import names
from coalmine_controller.analysis.providers import open_session
from coalmine_controller.analysis.runner import Runner
from coalmine_controller.apply import Applier
from coalmine_controller.events import Recorder
from coalmine_controller.keys import Keyring, KeyStore
from coalmine_controller.metrics import Metrics
from coalmine_controller.observe import from_caches, live
from coalmine_controller.plan import plan
from coalmine_controller.publisher import Publisher
from coalmine_controller.queue import Queue
from coalmine_controller.rotation import Rotation
from coalmine_controller.rotation_plan import MAX_AGE
from coalmine_controller.sidecars import Sidecars
from coalmine_controller.work_series import Work
from coalmine_controller.world import World, deployment_of, run_caches

_log = logging.getLogger(__name__)

#: Looks at one Deployment follow each other, those at different ones need not wait.
#: Mostly they wait for the API server, and an abort must not wait for hundreds of weights that are being written:
#: as many as it answers at once without ado (its own limit for writes is 200).
_WORKERS = 32
#: A sidecar that did not acknowledge is told again after this long.
_PUSH_AGAIN = 1.0
#: Acknowledgements come in by the hundred, and a look takes all that are there: one of them waits this long for others.
_GATHER = 0.03
#: While sidecars hold a routing, look at least this often, whatever events say.
_RESYNC = 15.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the controller is given: who it is, clocks, randomness, how analyses reach hosts; and for how many seconds
    a key signs."""

    identity: str
    wall: Callable[[], float]
    suffix: Callable[[], str]
    new_seed: Callable[[], bytes]
    sessions: Callable[[], aiohttp.ClientSession] = open_session
    #: Where the provider `prometheus` asks when a metric names no address.
    prometheus: str = ""
    key_age: float = MAX_AGE


class Controller:
    """One term of leadership."""

    def __init__(self, client: Client, session: aiohttp.ClientSession, metrics: Metrics, given: Surroundings) -> None:
        self._client = client
        self._session = session
        self._metrics = metrics
        self._given = given
        self._store = KeyStore(client, given.new_seed, given.wall)

    async def run(self, term: int) -> None:
        """Work until cancelled. Raises RemoteError when there is no usable signing key."""
        loop = asyncio.get_running_loop()
        metrics = self._metrics
        deployments: Queue[Key] = Queue(loop.call_later, loop.time, metrics.rollouts)
        runs: Queue[Key] = Queue(loop.call_later, loop.time, metrics.runs)
        self._deployments = deployments
        self._seen: set[Key] = set()
        #: What the API server said when it last refused something for a Deployment: for its status.
        self._refusals: dict[Key, str] = {}
        world = self._world = World(self._client, deployments.add, runs.add)
        recorder = Recorder(self._client, self._given.identity, self._given.wall, self._given.suffix, metrics.told)
        runner = Runner(self._client, self._given.wall, self._given.sessions, self._given.prometheus)
        metrics.rollouts.follow(deployments)
        metrics.runs.follow(runs)
        metrics.series.watch(world, self._given.wall)
        # read anew by each term: others may have turned the keys while this one waited
        ring = Keyring(await self._store.load())
        publisher = self._publisher = Publisher(self._client, ring)
        async with asyncio.TaskGroup() as group:
            sidecars = self._sidecars = Sidecars(self._session, ring, term, group, loop.time)
            self._rotation = Rotation(
                self._store, ring, publisher, world, sidecars, deployments.add, self._given.wall, self._given.key_age
            )
            self._applier = Applier(self._client, world, sidecars, recorder, self._given.wall)
            world.pods.listen(lambda old, new: _forget(sidecars, old, new))
            world.deployments.on_relist(lambda: _start(group, self._adopt()))
            await run_caches(world, group)
            for hidden in world.replica_sets.objects():
                key = deployment_of(hidden)
                if key is not None:
                    deployments.add(key)  # also those whose Deployment is gone
            group.create_task(self._rotation.run())
            for _ in range(_WORKERS):
                group.create_task(self._work(deployments, metrics.rollouts, self._look))
                group.create_task(self._work(runs, metrics.runs, lambda key: runner.reconcile(*key)))

    async def _work(self, queue: Queue[Key], work: Work, look: Callable[[Key], Awaitable[float | None]]) -> None:
        while True:
            key = await queue.take()
            try:
                with work.look(key):
                    wait = await look(key)
            except ConflictError as error:
                queue.failed(key)
                _log.debug("%s/%s: %s", *key, error)
            except ApiError as error:
                work.failed(key)
                if 400 <= error.status < 500:
                    self._refusals[key] = error.message
                _log.warning("%s/%s: %s; again in %.2f s", *key, error, queue.failed(key))
            except Exception:
                work.failed(key)
                _log.exception("%s/%s: a fault of the controller; again in %.2f s", *key, queue.failed(key))
            else:
                queue.succeeded(key)
                self._refusals.pop(key, None)
                if wait is not None:
                    queue.add_after(key, max(wait, 0.0))
            finally:
                queue.done(key)

    async def _look(self, key: Key) -> float | None:
        raw = self._world.deployments.get(*key) or await self._unwatched(key)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            self._seen.discard(key)
            self._metrics.series.looked(key, (), {})
            return None
        if names.CANARY in annotations_of(raw):
            try:
                await self._publisher.publish(key[0])
            except ApiError as error:  # no reason not to look, least of all not to abort
                _log.warning("%s: the public key cannot be published: %s", key[0], error)
        first, refusal = key not in self._seen, self._refusals.get(key, "")
        observed = replace(from_caches(self._world, self._sidecars, raw), first=first, refusal=refusal)
        decision = plan(observed, self._given.wall())
        if decision.needs_live:
            fresh = await live(self._client, self._world, self._sidecars, key)
            if fresh is None:
                return None
            observed = replace(fresh, first=first, refusal=refusal)
            decision = plan(observed, self._given.wall())
        self._metrics.series.looked(key, observed.pods, decision.routes)
        told = self._rotation.with_idle(observed, decision)
        await self._applier.apply(observed, told, lambda ok: self._settled(key, ok))
        self._seen.add(key)
        if decision.routes:
            return min(_RESYNC, _RESYNC if decision.requeue_after is None else decision.requeue_after)
        return decision.requeue_after

    def _settled(self, key: Key, acknowledged: bool) -> None:
        if acknowledged:
            self._deployments.add_after(key, _GATHER)
        else:
            self._publisher.doubt(key[0])
            self._deployments.add_after(key, _PUSH_AGAIN)

    async def _unwatched(self, key: Key) -> Object | None:
        """A Deployment that is not among ours, of which there is something of ours all the same.

        One that opted out has lost our label with the annotation, so no watch shows it: it is read, and is
        let go of. Of one that is gone, what ``--cascade=orphan`` left of it is deleted.
        """
        hidden = [s for s in self._world.sets_of(key) if annotations_of(s).get(names.ROLE) == names.ROLE_CANARY]
        rollout = self._world.rollouts.get(*key)
        if not hidden and rollout is None:
            return None
        found = await self._client.find(DEPLOYMENTS, *key)
        if found is not None:
            return found
        for replica_set in hidden:
            await self._client.delete(REPLICA_SETS, key[0], name_of(replica_set), uid=uid_of(replica_set))
        if rollout is not None:
            await self._client.delete(ROLLOUTS, *key, uid=uid_of(rollout))
        return None

    async def _adopt(self) -> None:
        """Touch annotated Deployments that lack our label: they were there before the webhook was."""
        try:
            every, _ = await self._client.list(DEPLOYMENTS)
        except ApiError as error:
            _log.warning("looking for Deployments that were annotated before the webhook was there: %s", error)
            return
        for raw in every:
            if _unseen(raw):
                try:
                    await self._client.patch(DEPLOYMENTS, namespace_of(raw), name_of(raw), {})
                except ApiError as error:  # refused for what it is; the others are none the worse for it
                    _log.warning("%s/%s cannot be taken up: %s", namespace_of(raw), name_of(raw), error)


def _forget(sidecars: Sidecars, old: Object | None, new: Object | None) -> None:
    if old is not None and (new is None or uid_of(new) != uid_of(old)):
        sidecars.forget(uid_of(old))


def _start(group: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
    group.create_task(work)


def _unseen(raw: Object) -> bool:
    return names.CANARY in annotations_of(raw) and labels_of(raw).get(names.ROLLOUT_LABEL) != names.LABEL_TRUE
