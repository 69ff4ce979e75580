"""Keys that turn: when (a table), and that no push is refused meanwhile, whoever dies and however slow kubelets are.

The whole controller on a cluster in memory and a virtual clock; the sidecars verify as real ones do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
from typing import Any, Self

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from memory_cluster import MemoryCluster
from samples import deployment, pod, replica_set
from virtual_time import now, run

from coalmine.kube.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, REPLICA_SETS, SECRETS
from coalmine.model import names
from coalmine.model.durations import format_time
from coalmine.model.fingerprint import fingerprint
from coalmine.model.names import SIGNATURE_HEADER
from coalmine.model.wire import Answer, Routing, Version, decode, encode_answer
from coalmine_controller.convert import pod_from, sidecar_boot
from coalmine_controller.keys import Keys, SigningKey
from coalmine_controller.loop import Controller, Surroundings
from coalmine_controller.metrics import Metrics
from coalmine_controller.rotation_plan import MAX_AGE, PATIENCE, Turn, plan

ONE, TWO = SigningKey.from_seed(bytes(32)), SigningKey.from_seed(bytes([1] * 32))

TABLE = [
    (Keys(ONE, 0.0), 10.0, 0, Turn.NOTHING),
    (Keys(ONE, 0.0), MAX_AGE - 1, 0, Turn.NOTHING),
    (Keys(ONE, 0.0), MAX_AGE, 0, Turn.INTRODUCE),
    (Keys(ONE, 50.0), MAX_AGE, 9, Turn.NOTHING),
    (Keys(ONE, 0.0, asked=True), 10.0, 0, Turn.INTRODUCE),
    (Keys(ONE, 0.0, asked=True), -10.0, 0, Turn.INTRODUCE),
    (Keys(ONE, 0.0, TWO, 10.0), 10.0, 1, Turn.NOTHING),
    (Keys(ONE, 0.0, TWO, 10.0), 10.0, 0, Turn.FINISH),
    (Keys(ONE, 0.0, TWO, 10.0, asked=True), 10.0, 0, Turn.FINISH),
    (Keys(ONE, 0.0, TWO, 10.0, asked=True), 11.0, 3, Turn.DROP_WISH),
    (Keys(ONE, 0.0, TWO, MAX_AGE), 2 * MAX_AGE, 1, Turn.FINISH),
    (Keys(ONE, 0.0, TWO, 10.0), 10.0 + PATIENCE - 1, 1, Turn.NOTHING),
    (Keys(ONE, 0.0, TWO, 10.0), 10.0 + PATIENCE, 1, Turn.FINISH),
    # since when was lost: only the sidecars end it
    (Keys(ONE, 0.0, TWO, math.inf), 10.0 + 9 * PATIENCE, 1, Turn.NOTHING),
    (Keys(ONE, 0.0, TWO, math.inf), 10.0, 0, Turn.FINISH),
]


@pytest.mark.parametrize(("keys", "moment", "outstanding", "turn"), TABLE)
def test_when_keys_turn(keys: Keys, moment: float, outstanding: int, turn: Turn) -> None:
    assert plan(keys, moment, outstanding) is turn


def test_never_by_age() -> None:
    assert plan(Keys(ONE, 0.0), 100 * MAX_AGE, 0, max_age=0.0) is Turn.NOTHING


class Sidecar:
    """Verifies with what its kubelet has mounted; keeps its copy, and needs its signature to start again from it."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.boot = 1
        self.mounted: dict[str, str] = {}
        self.version: Version | None = None
        self.routing: Routing | None = None
        self.copy_by = ""
        self.deaf = False

    def put(self, body: bytes, signature: str) -> tuple[int, bytes]:
        key_id, _, encoded = signature.partition(":")
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.mounted[key_id]))
            public.verify(base64.b64decode(encoded), body)
        except (KeyError, InvalidSignature):
            return 401, b"a key that is not known here"
        document = decode(body)
        fresh = self.version is None or self.version < document.version
        taken = document.pod == self.uid and document.nonce == f"boot-{self.boot}" and fresh
        if taken:
            self.version, self.routing, self.copy_by = document.version, document.routing, key_id
        answer = Answer(self.uid, f"boot-{self.boot}", self.version, True)
        return (200 if taken else 409), encode_answer(answer)

    def restart(self) -> bool:
        """Whether its copy still counts."""
        self.boot += 1
        return self.version is None or self.copy_by in self.mounted


class Reply:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body
        self.content = self

    async def iter_any(self) -> Any:
        yield self._body

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0.001)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Node:
    """Pods of a Deployment that holds nothing, and the session that reaches their sidecars by address."""

    def __init__(self, cluster: MemoryCluster, pods: int) -> None:
        self.cluster = cluster
        self.sidecars = [Sidecar(f"colorapi-old-{n}-uid") for n in range(pods)]

    def put(self, url: str, *, data: bytes, headers: dict[str, str], allow_redirects: bool) -> Reply:
        sidecar = self.sidecars[int(url.split("//")[1].split(":")[0].rpartition(".")[2])]
        if sidecar.deaf:
            raise OSError("no route to host")
        return Reply(*sidecar.put(data, headers[SIGNATURE_HEADER]))

    def refresh(self, sidecar: Sidecar) -> None:
        """What its kubelet does in its own time."""
        found = self.cluster.stored(CONFIG_MAPS, "default", names.KEYS_CONFIGMAP)
        sidecar.mounted = dict((found or {}).get("data") or {})


class Stage:
    def __init__(self, pods: int = 4, key_age: float = 0.0) -> None:
        self.cluster = MemoryCluster()
        self.node = Node(self.cluster, pods)
        self.term = 0
        self.seeds = 0
        self.key_age = key_age
        raw = deployment(spec={"paused": ...})
        for key in (names.HOLD, names.FAILED, names.HANDOVER):
            raw["metadata"]["annotations"].pop(key)
        raw["metadata"]["annotations"][names.STABLE] = fingerprint(raw["spec"]["template"])
        self.cluster.put(DEPLOYMENTS, raw)
        self.cluster.put(REPLICA_SETS, replica_set(spec={"replicas": pods}))
        for n in range(pods):
            one = pod(f"colorapi-old-{n}", spec={"nodeName": "n"}, status={"podIP": f"10.0.0.{n}"})
            self.cluster.put(PODS, one)

    def _seed(self) -> bytes:
        self.seeds += 1
        return bytes([self.seeds % 256] * 32)

    def begin(self) -> asyncio.Task[None]:
        """A controller takes the lead."""
        self.term += 1
        given = Surroundings("me", now, lambda: f"x{self.cluster.version}", self._seed, key_age=self.key_age)
        self.controller = Controller(self.cluster, self.node, Metrics(), given)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.controller.run(self.term))
        return self.task

    def ask(self) -> None:
        raw = self.secret
        annotations = {**(raw["metadata"].get("annotations") or {}), names.ROTATE: "now"}
        self.cluster.put(SECRETS, {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})

    @property
    def secret(self) -> Any:
        found = self.cluster.stored(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)
        assert found is not None
        return found

    @property
    def published(self) -> set[str]:
        found = self.cluster.stored(CONFIG_MAPS, "default", names.KEYS_CONFIGMAP)
        return set((found or {}).get("data") or {})

    async def tell(self, number: int, routing: Routing) -> bool:
        """Push `routing` to a sidecar as a step would; whether it was acknowledged."""
        raw = self.cluster.stored(PODS, "default", f"colorapi-old-{number}")
        assert raw is not None
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        sidecars = self.controller._sidecars
        sidecars.tell(pod_from(raw), sidecar_boot(raw), routing, lambda ok: done.done() or done.set_result(ok))
        return await done


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def current(stage: Stage) -> str:
    return SigningKey.from_seed(base64.b64decode(stage.secret["data"]["ed25519-seed"])).id


def test_asked_for_by_a_person() -> None:
    async def story() -> None:
        stage = Stage()
        stage.begin()
        await asyncio.sleep(5)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        first = current(stage)
        assert stage.published == {first}
        for n in range(4):
            assert await stage.tell(n, Routing(close=True))
        stage.ask()
        await asyncio.sleep(120)
        assert len(stage.published) == 2
        assert current(stage) == first, "no kubelet has brought the new one"
        assert names.ROTATE not in stage.secret["metadata"]["annotations"]
        for n, sidecar in enumerate(stage.node.sidecars):
            assert await stage.tell(n, Routing(close=True)), "the old one signs"
            assert sidecar.copy_by == first
        for sidecar in stage.node.sidecars[1:]:
            stage.node.refresh(sidecar)
        await asyncio.sleep(60)
        assert [s.copy_by == first for s in stage.node.sidecars] == [True, False, False, False]
        assert len(stage.published) == 2, "one does not have it"
        assert await stage.tell(0, Routing(close=True))
        stage.node.refresh(stage.node.sidecars[0])
        await asyncio.sleep(60)
        assert stage.published == {current(stage)}
        assert current(stage) != first
        assert {s.copy_by for s in stage.node.sidecars} == {current(stage)}
        await end(stage.task)

    run(story())


def test_many_acknowledgements_are_few_looks() -> None:
    async def story() -> None:
        stage = Stage(pods=60)
        looks = 0

        async def counted(key: Any) -> Any:
            nonlocal looks
            looks += 1
            return await look(key)

        stage.begin()
        look = stage.controller._look
        stage.controller._look = counted  # type: ignore[method-assign]
        await asyncio.sleep(1)
        stage.ask()
        await asyncio.sleep(20)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        looks = 0
        await asyncio.sleep(6)
        assert "" not in {s.copy_by for s in stage.node.sidecars}, "all were told"
        assert 0 < looks <= 12, "not one for each of sixty"
        await end(stage.task)

    run(story())


def test_by_age_and_with_a_sidecar_that_is_never_reached() -> None:
    async def story() -> None:
        stage = Stage(key_age=1000.0)
        stage.begin()
        await asyncio.sleep(5)
        first = current(stage)
        stage.node.sidecars[2].deaf = True
        await asyncio.sleep(1200)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        await asyncio.sleep(100)
        assert len(stage.published) == 2
        assert current(stage) == first
        raw = stage.secret
        long_ago = format_time(now() - PATIENCE)
        annotations = {**raw["metadata"]["annotations"], names.KEY_NEXT_SINCE: long_ago}
        stage.cluster.put(SECRETS, {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})
        await asyncio.sleep(10)
        assert first not in stage.published
        await end(stage.task)

    run(story())


def test_a_pod_without_a_node_is_not_waited_for() -> None:
    async def story() -> None:
        stage = Stage(pods=1)
        raw = stage.cluster.stored(PODS, "default", "colorapi-old-0")
        assert raw is not None
        stage.cluster.put(PODS, {**raw, "spec": {}, "status": {"phase": "Pending"}})
        stage.begin()
        await asyncio.sleep(5)
        first = current(stage)
        stage.ask()
        await asyncio.sleep(60)
        assert current(stage) != first
        await end(stage.task)

    run(story())


def test_a_secret_that_was_deleted_withdraws_its_key() -> None:
    async def story() -> None:
        stage = Stage()
        stage.begin()
        await asyncio.sleep(5)
        first = current(stage)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        stage.cluster.remove(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)
        await asyncio.sleep(60)
        assert current(stage) != first
        assert stage.published == {current(stage)}
        assert not await stage.tell(0, Routing(close=True)), "refused until the kubelet has brought it"
        stage.node.refresh(stage.node.sidecars[0])
        assert await stage.tell(0, Routing(close=True))
        await end(stage.task)

    run(story())


def test_who_followed_a_withdrawn_key_is_told_again() -> None:
    async def story() -> None:
        stage = Stage()
        stage.begin()
        await asyncio.sleep(5)
        first = current(stage)
        for n, sidecar in enumerate(stage.node.sidecars):
            stage.node.refresh(sidecar)
            assert await stage.tell(n, Routing(close=True))
            assert sidecar.copy_by == first
        stage.cluster.remove(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)
        await asyncio.sleep(60)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        await asyncio.sleep(60)
        assert {s.copy_by for s in stage.node.sidecars} == {current(stage)} != {first}
        await end(stage.task)

    run(story())


def test_a_time_that_was_spoilt_ends_no_turn() -> None:
    async def story() -> None:
        stage = Stage()
        stage.begin()
        await asyncio.sleep(5)
        first = current(stage)
        stage.ask()
        await asyncio.sleep(20)
        raw = stage.secret
        annotations = {**raw["metadata"]["annotations"], names.KEY_NEXT_SINCE: "yesterday"}
        stage.cluster.put(SECRETS, {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})
        await asyncio.sleep(60)
        assert current(stage) == first
        assert len(stage.published) == 2
        await end(stage.task)

    run(story())


def test_who_cannot_be_reached_is_asked_less_and_less() -> None:
    async def story() -> None:
        stage = Stage(pods=1)
        stage.begin()
        await asyncio.sleep(5)
        tried = 0

        def put(*_: Any, **__: Any) -> Reply:
            nonlocal tried
            tried += 1
            raise OSError("no route to host")

        stage.node.put = put  # type: ignore[method-assign]
        stage.ask()
        await asyncio.sleep(3600)
        assert 12 <= tried <= 30, "five seconds, ten, ... five minutes; not one each second"
        await end(stage.task)

    run(story())


def test_a_secret_that_was_spoilt_leaves_the_keys_as_they_are() -> None:
    async def story() -> None:
        stage = Stage()
        stage.begin()
        await asyncio.sleep(5)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        stage.cluster.put(SECRETS, {**stage.secret, "data": {"ed25519-seed": "@"}})
        await asyncio.sleep(60)
        assert await stage.tell(0, Routing(close=True))
        await end(stage.task)

    run(story())


@pytest.mark.parametrize("seed", range(8))
def test_no_push_is_refused_whatever_happens(seed: int) -> None:
    """Kubelets as slow as they like, controllers that are killed at any line and overlap, sidecars that start again,
    turns asked for at any time: a push is acknowledged, and a copy is never worthless."""

    async def story() -> None:
        fate = random.Random(seed)
        stage = Stage(pods=5, key_age=fate.choice([0.0, 200.0]))
        stage.begin()
        await asyncio.sleep(1)
        for sidecar in stage.node.sidecars:
            stage.node.refresh(sidecar)
        kubelets = [
            asyncio.create_task(kubelet(stage, s, random.Random(f"{seed}/{s.uid}"))) for s in stage.node.sidecars
        ]
        seen = {current(stage)}
        for number in range(80):
            await asyncio.sleep(fate.choice([0.0, 0.001, 0.1, 1.0, 15.0]))
            seen.add(current(stage))
            match fate.randrange(6):
                case 0:
                    stage.ask()
                case 1:
                    before = stage.task
                    stage.begin()
                    await asyncio.sleep(fate.choice([0.0, 0.003, 0.1]))  # the old one does not know yet
                    await end(before)
                    await asyncio.sleep(1)
                case 2:
                    assert fate.choice(stage.node.sidecars).restart(), "its copy is by a key that it knows"
                case _:
                    one = fate.randrange(5)
                    assert await stage.tell(one, Routing(local_paths=(f"/{number}",)))
        await asyncio.sleep(400)
        assert not stage.secret["data"].get("ed25519-next-seed") or stage.key_age
        assert len(seen) > 2, "they did turn"
        assert json.dumps(stage.secret["data"]).count("ed25519") <= 2
        await end(stage.task, *kubelets)

    run(story())


async def kubelet(stage: Stage, sidecar: Sidecar, fate: random.Random) -> None:
    while True:
        await asyncio.sleep(fate.uniform(5, 90))
        stage.node.refresh(sidecar)
