"""Has the signing keys turn: reads the Secret now and then, decides by `rotation_plan`, writes, publishes, and has
those Deployments looked at whose sidecars lack the new key.

Rules: level-based, nothing is remembered but what is in the Secret; which sidecars have the key is what they have
acknowledged to this controller, and a new one asks them again. The Secret is written first, then the ConfigMaps,
and only a key that the Secret holds signs. What fails is tried again at the next look: a turn is in no hurry, and
rollouts go on meanwhile.

A Secret that was deleted is made anew at the next look: that is how a person withdraws a key that others may know.
Sidecars refuse pushes until their kubelets have brought the new one; the shares stand still for that time. Then
what the old key signed counts as nothing there, and those that this controller has called are told again. Those that it
has not called since its start (of Deployments that hold nothing) are not: their pods are to be restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from coalmine.kube.cache import Key
from coalmine.kube.resources import Object, annotations_of, namespace_of, uid_of
from coalmine.kube.verbs import ApiError, ConflictError
from coalmine.model import names
from coalmine.model.errors import RemoteError
from coalmine_controller.decision import Decision
from coalmine_controller.keys import Keyring, KeyStore
from coalmine_controller.observed import Observed
from coalmine_controller.publisher import Publisher
from coalmine_controller.rotation_plan import Turn, plan
from coalmine_controller.routing import local
from coalmine_controller.sidecars import Sidecars
from coalmine_controller.versions import sort_out
from coalmine_controller.world import World

_log = logging.getLogger(__name__)

#: Seconds between two looks at the Secret, and while keys turn. One small GET each.
_LOOK, _LOOK_TURNING = 15.0, 2.0
#: Deployments that are woken at a look while keys turn: some hundred pushes, so that a turn with thousands of
#: Deployments is spread over minutes and rollouts feel nothing of it.
_WOKEN = 100


class Rotation:
    """The turns of one term of leadership."""

    def __init__(
        self,
        store: KeyStore,
        ring: Keyring,
        publisher: Publisher,
        world: World,
        sidecars: Sidecars,
        wake: Callable[[Key], None],
        wall: Callable[[], float],
        max_age: float,
    ) -> None:
        self._store = store
        self._ring = ring
        self._publisher = publisher
        self._world = world
        self._sidecars = sidecars
        self._wake = wake
        self._wall = wall
        self._max_age = max_age
        self._at = 0

    async def run(self) -> None:
        """Look for ever. Cancelled to end."""
        while True:
            try:
                await self.look()
            except ConflictError as error:
                _log.debug("signing keys: %s", error)
            except RemoteError as error:
                _log.warning("signing keys: %s", error)
            await asyncio.sleep(_LOOK if self._ring.keys.next is None else _LOOK_TURNING)

    async def look(self) -> None:
        """One look. Raises ApiError, and RemoteError when the Secret holds no usable key: the ones known go on."""
        known = self._ring.keys
        keys = await self._store.load()
        if keys.current.id not in (known.current.id, known.newest.id):
            told = "the signing key %s was replaced by %s: sidecars refuse until they have it"
            _log.warning(told, known.current.id, keys.current.id)
        self._ring.keys = keys
        outstanding = self.outstanding()
        turn = plan(keys, self._wall(), len(outstanding), self._max_age)
        if turn is Turn.INTRODUCE:
            keys = await self._store.introduce()
            _log.info("signing key %s: %s is to follow", keys.current.id, keys.newest.id)
        elif turn is Turn.FINISH:
            if outstanding:
                _log.warning("%d sidecars never took signing key %s", len(outstanding), keys.newest.id)
            keys = await self._store.finish()
            _log.info("signing key %s: signs alone", keys.current.id)
        elif turn is Turn.DROP_WISH:
            keys = await self._store.drop_wish()
        self._ring.keys = keys
        await self._publish()
        if turn in (Turn.INTRODUCE, Turn.FINISH):
            outstanding = self.outstanding()
        self._wake_some(sorted(set(outstanding.values())))

    def outstanding(self) -> dict[str, Key]:
        """The sidecars to be reached that follow a key which is going or gone: uid of the pod, and its Deployment.

        Of pods that have a node: what is not placed yet will mount what is published by then. Also of those that are
        not ready, as they may become so.
        """
        found = {}
        for pod in self._world.pods.objects():
            if not _reachable(pod) or not self._sidecars.lacks_key(uid_of(pod)):
                continue
            key = self._world.deployment_of_pod(pod)
            deployment = self._world.deployments.get(*key) if key is not None else None
            if key is not None and deployment is not None and names.CANARY in annotations_of(deployment):
                found[uid_of(pod)] = key
        return found

    def with_idle(self, observed: Observed, decision: Decision) -> Decision:
        """`decision`, and, while keys turn or after one was withdrawn, what the sidecars of a Deployment that holds
        nothing do anyway: they are told so once more, signed by the new key. (At all other times nobody calls them.)"""
        d = observed.deployment
        if d.held or d.handover is not None or not observed.rollout_exists:
            return decision
        if d.strategy is None and not d.off:
            return decision
        without = {p.uid for p in observed.pods if not p.terminating and self._sidecars.due(p.uid)}
        if not without:
            return decision
        routes = {uid: r for uid, r in local(observed, sort_out(observed)).items() if uid in without}
        return replace(decision, routes={**routes, **decision.routes})

    async def _publish(self) -> None:
        for namespace in sorted({namespace_of(d) for d in self._world.deployments.objects()}):
            try:
                await self._publisher.publish(namespace)
            except ApiError as error:  # a namespace that is being deleted, say: no reason not to go on
                _log.warning("%s: the public keys cannot be published: %s", namespace, error)

    def _wake_some(self, keys: list[Key]) -> None:
        """In turn, as some may be long in coming."""
        self._at = self._at if self._at < len(keys) else 0
        for key in keys[self._at : self._at + _WOKEN]:
            self._wake(key)
        self._at += _WOKEN


def _reachable(pod: Object) -> bool:
    metadata, status = pod["metadata"], pod.get("status") or {}
    return (
        names.INJECTED in (metadata.get("annotations") or {})
        and not metadata.get("deletionTimestamp")
        and bool((pod.get("spec") or {}).get("nodeName"))
        and status.get("phase") not in ("Succeeded", "Failed")
    )
