"""The signing key, where its public half is published, and events: asserted by what the cluster holds."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from memory_cluster import MemoryCluster, unreachable
from samples import deployment

from coalmine.kube.resources import CONFIG_MAPS, EVENTS, SECRETS
from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine.model.errors import RemoteError
from coalmine.model.reasons import Reason
from coalmine_controller.actions import Emit
from coalmine_controller.convert import deployment_from
from coalmine_controller.events import Recorder
from coalmine_controller.keys import Publisher, SigningKey, load_key

ONE, OTHER = SigningKey.from_seed(bytes(32)), SigningKey.from_seed(bytes([1] * 32))
SECRET = {"metadata": {"name": names.SIGNING_SECRET, "namespace": names.SYSTEM_NAMESPACE}}


def published(cluster: MemoryCluster, namespace: str = "default") -> Any:
    found = cluster.stored(CONFIG_MAPS, namespace, names.KEYS_CONFIGMAP)
    return found["data"] if found else None


def test_a_signature_is_the_body_s_and_the_id_is_the_key_s() -> None:
    key_id, _, signature = ONE.sign(b"body").partition(":")
    assert key_id == ONE.id != OTHER.id
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(ONE.public))
    public.verify(base64.b64decode(signature), b"body")


def test_the_first_controller_makes_the_key_and_all_others_find_it() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        first = await load_key(cluster, bytes([7] * 32))  # type: ignore[arg-type]
        second = await load_key(cluster, bytes([8] * 32))  # type: ignore[arg-type]
        assert first.id == second.id == SigningKey.from_seed(bytes([7] * 32)).id
        assert len(cluster.all(SECRETS)) == 1

    asyncio.run(story())


def test_two_controllers_at_once_have_one_key() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        keys = await asyncio.gather(*(load_key(cluster, bytes([n] * 32)) for n in range(4)))  # type: ignore[arg-type]
        assert len({key.id for key in keys}) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "data", [None, {}, {"ed25519-seed": "c2hvcnQ="}, {"ed25519-seed": "@@@"}, {"other": "x"}], ids=str
)
def test_a_secret_without_a_usable_key_says_what_to_do(data: Any) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(SECRETS, {**SECRET, "data": data})
        with pytest.raises(RemoteError, match="delete it, and a new one is made"):
            await load_key(cluster, bytes(32))  # type: ignore[arg-type]

    asyncio.run(story())


def test_published_once_in_each_namespace() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        publisher = Publisher(cluster, ONE)  # type: ignore[arg-type]
        for _ in range(3):
            await publisher.publish("default")
            await publisher.publish("other")
        assert published(cluster) == published(cluster, "other") == {ONE.id: ONE.public}
        assert len(cluster.requests) == 4, "one look and one write each"

    asyncio.run(story())


def test_a_key_that_turns_stands_beside_the_old_one() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        await Publisher(cluster, ONE).publish("default")  # type: ignore[arg-type]
        await Publisher(cluster, OTHER).publish("default")  # type: ignore[arg-type]
        assert published(cluster) == {ONE.id: ONE.public, OTHER.id: OTHER.public}

    asyncio.run(story())


def test_a_forged_key_of_our_name_is_put_right() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        forged = {"metadata": {"name": names.KEYS_CONFIGMAP, "namespace": "default"}, "data": {ONE.id: "forged"}}
        cluster.put(CONFIG_MAPS, forged)
        await Publisher(cluster, ONE).publish("default")  # type: ignore[arg-type]
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_a_conflict_with_another_controller() -> None:
    async def story() -> None:
        cluster = MemoryCluster()

        def first(verb: str, path: str) -> None:
            if verb == "POST" and not cluster.all(CONFIG_MAPS):
                theirs = {"metadata": {"name": names.KEYS_CONFIGMAP, "namespace": "default"}, "data": {"theirs": "x"}}
                cluster.put(CONFIG_MAPS, theirs)

        cluster.before = first
        await Publisher(cluster, ONE).publish("default")  # type: ignore[arg-type]
        assert published(cluster) == {"theirs": "x", ONE.id: ONE.public}

    asyncio.run(story())


def test_a_failure_is_not_taken_for_done() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        publisher = Publisher(cluster, ONE)  # type: ignore[arg-type]

        def refuse(verb: str, path: str) -> None:
            raise unreachable()

        cluster.before = refuse
        with pytest.raises(ApiError):
            await publisher.publish("default")
        cluster.before = lambda verb, path: None
        await publisher.publish("default")
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_a_namespace_that_was_made_anew_gets_the_key_again_once_there_is_doubt() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        publisher = Publisher(cluster, ONE)  # type: ignore[arg-type]
        await publisher.publish("default")
        cluster.remove(CONFIG_MAPS, "default", names.KEYS_CONFIGMAP)
        publisher.doubt("default")
        await publisher.publish("default")
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_an_event_tells_the_story_on_the_deployment() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        recorder = Recorder(cluster, "me", lambda: 0.25, lambda: "abcd")  # type: ignore[arg-type]
        await recorder.record(deployment_from(deployment()), Emit(Reason.ABORTED, "x" * 5000, warning=True))
        (event,) = cluster.all(EVENTS)
        assert event["metadata"]["name"] == "colorapi.abcd"
        assert event["involvedObject"]["uid"] == "deployment-uid"
        assert (event["reason"], event["type"], len(event["message"])) == ("RolloutAborted", "Warning", 1024)
        assert event["firstTimestamp"] == event["lastTimestamp"] == "1970-01-01T00:00:00Z"
        assert event["reportingInstance"] == "me"

    asyncio.run(story())


def test_the_name_of_an_event_is_a_valid_one() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        raw = deployment(metadata={"name": "a" * 199 + "-" + "b" * 40})
        await Recorder(cluster, "me", lambda: 0.0, lambda: "abcd").record(  # type: ignore[arg-type]
            deployment_from(raw), Emit(Reason.PAUSED, "m")
        )
        (event,) = cluster.all(EVENTS)
        assert event["metadata"]["name"] == "a" * 199 + ".abcd", "a part must not end with a dash"
        assert event["type"] == "Normal"

    asyncio.run(story())


def test_an_event_that_cannot_be_written_is_lost() -> None:
    async def story() -> None:
        cluster = MemoryCluster()

        def refuse(verb: str, path: str) -> None:
            raise unreachable()

        cluster.before = refuse
        recorder = Recorder(cluster, "me", lambda: 0.0, lambda: "x")  # type: ignore[arg-type]
        await recorder.record(deployment_from(deployment()), Emit(Reason.PAUSED, "m"))
        assert cluster.all(EVENTS) == []

    asyncio.run(story())
