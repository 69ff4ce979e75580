"""The signing key, where its public half is published, and events: asserted by what the cluster holds."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from memory_cluster import MemoryCluster, unreachable
from samples import deployment

from coalmine.kube.resources import CONFIG_MAPS, EVENTS, SECRETS
from coalmine.kube.verbs import ApiError, ConflictError
from coalmine.model import names
from coalmine.model.errors import RemoteError
from coalmine.model.reasons import Reason
from coalmine_controller.actions import Emit
from coalmine_controller.convert import deployment_from
from coalmine_controller.events import Recorder
from coalmine_controller.keys import Keyring, Keys, KeyStore, SigningKey, read_keys
from coalmine_controller.publisher import Publisher

ONE, OTHER = SigningKey.from_seed(bytes(32)), SigningKey.from_seed(bytes([1] * 32))
SECRET: Any = {"metadata": {"name": names.SIGNING_SECRET, "namespace": names.SYSTEM_NAMESPACE}}


def published(cluster: MemoryCluster, namespace: str = "default") -> Any:
    found = cluster.stored(CONFIG_MAPS, namespace, names.KEYS_CONFIGMAP)
    return found["data"] if found else None


def test_a_signature_is_the_body_s_and_the_id_is_the_key_s() -> None:
    key_id, _, signature = ONE.sign(b"body").partition(":")
    assert key_id == ONE.id != OTHER.id
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(ONE.public))
    public.verify(base64.b64decode(signature), b"body")


def store(cluster: MemoryCluster, number: int = 0, wall: float = 1000.0) -> KeyStore:
    """A controller's; its seeds are `number`, `number` + 1 and so on."""
    numbers = itertools.count(number)
    return KeyStore(cluster, lambda: bytes([next(numbers)] * 32), lambda: wall)  # type: ignore[arg-type]


def publisher(cluster: MemoryCluster, current: SigningKey, following: SigningKey | None = None) -> Publisher:
    return Publisher(cluster, Keyring(Keys(current, 0.0, following)))  # type: ignore[arg-type]


def key(number: int) -> SigningKey:
    return SigningKey.from_seed(bytes([number] * 32))


def test_the_first_controller_makes_the_key_and_all_others_find_it() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        first, second = await store(cluster, 7).load(), await store(cluster, 8, wall=2000.0).load()
        assert first == second == Keys(key(7), since=1000.0)
        assert len(cluster.all(SECRETS)) == 1

    asyncio.run(story())


def test_two_controllers_at_once_have_one_key() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        keys = await asyncio.gather(*(store(cluster, n).load() for n in range(4)))
        assert len({k.current.id for k in keys}) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "data", [None, {}, {"ed25519-seed": "c2hvcnQ="}, {"ed25519-seed": "@@@"}, {"other": "x"}], ids=str
)
def test_a_secret_without_a_usable_key_says_what_to_do(data: Any) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(SECRETS, {**SECRET, "data": data})
        with pytest.raises(RemoteError, match="delete it, and a new one is made"):
            await store(cluster).load()

    asyncio.run(story())


def test_a_secret_of_an_earlier_release_is_as_old_as_it_is() -> None:
    metadata = {**SECRET["metadata"], "creationTimestamp": "1970-01-01T00:00:05Z"}
    seed = base64.b64encode(bytes([3] * 32)).decode()
    assert read_keys({"metadata": metadata, "data": {"ed25519-seed": seed}}) == Keys(key(3), since=5.0)


@pytest.mark.parametrize("following", ["c2hvcnQ=", "@@@", base64.b64encode(bytes([3] * 32)).decode()])
def test_a_next_key_that_cannot_be_used_is_none(following: str) -> None:
    metadata = {**SECRET["metadata"], "creationTimestamp": "1970-01-01T00:00:05Z"}
    metadata["annotations"] = {names.KEY_SINCE: "yesterday", names.KEY_NEXT_SINCE: "0"}
    seed = base64.b64encode(bytes([3] * 32)).decode()
    data = {"ed25519-seed": seed, "ed25519-next-seed": following}
    keys = read_keys({"metadata": metadata, "data": data})
    assert (keys.next, keys.since) == (None, 5.0)


def test_a_turn_in_the_secret() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        one = store(cluster, 1)
        await one.load()
        assert await one.introduce() == Keys(key(1), 1000.0, key(2), 1000.0)
        other = store(cluster, 5, wall=3000.0)
        assert await other.load() == Keys(key(1), 1000.0, key(2), 1000.0)
        assert await other.finish() == Keys(key(2), 3000.0)
        (secret,) = cluster.all(SECRETS)
        assert list(secret["data"]) == ["ed25519-seed"], "the old seed is gone"

    asyncio.run(story())


@pytest.mark.parametrize("write", ["introduce", "finish", "drop_wish"])
def test_a_controller_that_was_overtaken_writes_nothing(write: str) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        late, other = store(cluster, 1), store(cluster, 5)
        await late.load()
        if write == "finish":
            await late.introduce()
        await other.load()
        await (other.finish() if write == "finish" else other.introduce())
        stands = await store(cluster).load()
        with pytest.raises(ConflictError):
            await getattr(late, write)()
        assert await store(cluster).load() == stands

    asyncio.run(story())


def test_no_seed_is_shown() -> None:
    assert "rivate" not in repr(Keys(ONE, 0.0, OTHER))


def test_published_once_in_each_namespace() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        ours = publisher(cluster, ONE)
        for _ in range(3):
            await ours.publish("default")
            await ours.publish("other")
        assert published(cluster) == published(cluster, "other") == {ONE.id: ONE.public}
        assert len(cluster.requests) == 4, "one look and one write each"

    asyncio.run(story())


def test_keys_that_turn_stand_side_by_side_until_the_old_one_is_withdrawn() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        ring = Keyring(Keys(ONE, 0.0))
        ours = Publisher(cluster, ring)  # type: ignore[arg-type]
        await ours.publish("default")
        ring.keys = Keys(ONE, 0.0, OTHER)
        await ours.publish("default")
        assert published(cluster) == {ONE.id: ONE.public, OTHER.id: OTHER.public}
        ring.keys = Keys(OTHER, 0.0)
        await ours.publish("default")
        assert published(cluster) == {OTHER.id: OTHER.public}

    asyncio.run(story())


@pytest.mark.parametrize("data", [{ONE.id: "forged"}, {ONE.id: ONE.public, "theirs": "forged"}, {}, None], ids=str)
def test_what_is_not_ours_there_is_put_right(data: Any) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(CONFIG_MAPS, {"metadata": {"name": names.KEYS_CONFIGMAP, "namespace": "default"}, "data": data})
        await publisher(cluster, ONE).publish("default")
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_a_conflict_with_another_controller() -> None:
    async def story() -> None:
        cluster = MemoryCluster()

        def first(verb: str, path: str) -> None:
            if verb == "POST" and not cluster.all(CONFIG_MAPS):
                theirs = {"metadata": {"name": names.KEYS_CONFIGMAP, "namespace": "default"}, "data": {"old": "x"}}
                cluster.put(CONFIG_MAPS, theirs)

        cluster.before = first
        await publisher(cluster, ONE).publish("default")
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_a_write_that_was_delayed_undoes_nothing() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        await publisher(cluster, ONE).publish("default")
        late = publisher(cluster, key(9))

        def overtaken(verb: str, path: str) -> None:
            if verb == "PATCH":
                stands = {"metadata": {"name": names.KEYS_CONFIGMAP, "namespace": "default"}, "data": {"newer": "x"}}
                cluster.put(CONFIG_MAPS, stands)

        cluster.before = overtaken
        with pytest.raises(ConflictError):
            await late.publish("default")
        assert published(cluster) == {"newer": "x"}

    asyncio.run(story())


def test_a_failure_is_not_taken_for_done() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        ours = publisher(cluster, ONE)

        def refuse(verb: str, path: str) -> None:
            raise unreachable()

        cluster.before = refuse
        with pytest.raises(ApiError):
            await ours.publish("default")
        cluster.before = lambda verb, path: None
        await ours.publish("default")
        assert published(cluster) == {ONE.id: ONE.public}

    asyncio.run(story())


def test_a_namespace_that_was_made_anew_gets_the_key_again_once_there_is_doubt() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        ours = publisher(cluster, ONE)
        await ours.publish("default")
        cluster.remove(CONFIG_MAPS, "default", names.KEYS_CONFIGMAP)
        ours.doubt("default")
        await ours.publish("default")
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
