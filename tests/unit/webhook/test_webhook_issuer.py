"""The loop around the plan, on a clock of its own: when it looks, what it says, what it counts."""

from __future__ import annotations

import asyncio
import base64
import copy
import datetime
import itertools
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.kube.resources import MUTATING_WEBHOOKS, SECRETS
from coalmine.kube.verbs import ApiError, ConflictError, Event, NotFoundError
from coalmine.model import names
from coalmine.model.errors import RemoteError
from coalmine_webhook import registration, secret
from coalmine_webhook.certificates import Mint
from coalmine_webhook.issuer import POLL, Issuer
from coalmine_webhook.metrics import Metrics

sys.path.insert(0, str(Path(__file__).parents[1] / "kube"))
from virtual_time import now, run

NAMESPACE, NAME = "coalmine-system", "coalmine-webhook-certificates"
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
OBJECTS = {MUTATING_WEBHOOKS.plural: "configuration", SECRETS.plural: "secret"}


def configuration(*bundles):
    webhooks = [
        {
            "name": f"w{n}",
            "failurePolicy": "Fail",
            "clientConfig": {"url": "https://x", **({"caBundle": b} if b else {})},
        }
        for n, b in enumerate(bundles)
    ]
    return {"metadata": {"name": names.WEBHOOK_CONFIGURATION, "labels": {"a": "b"}}, "webhooks": webhooks}


class Store:
    """Two objects; `refuse` is raised instead of any answer, `blind` instead of a watch's.

    A watch ends after `ends` seconds.
    """

    def __init__(self, found=None):
        self.objects = {"configuration": None, "secret": None}
        self.refuse = self.blind = self.ends = None
        self.watches = []
        self.version = 0
        self.looks, self.writes = [], []
        self._queues = []
        if found is not None:
            self.put("configuration", found)

    def put(self, which, obj):
        self.version += 1
        self.objects[which] = obj and {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        for watched, queue in self._queues:
            if watched == which:
                queue.put_nowait(Event("MODIFIED" if obj else "DELETED", obj or {}))

    def bundles(self):
        return [w["clientConfig"].get("caBundle") for w in self.objects["configuration"]["webhooks"]]

    async def find(self, resource, namespace, name):
        await asyncio.sleep(0)
        if self.refuse:
            raise self.refuse
        if resource is SECRETS:
            assert (namespace, name) == (NAMESPACE, NAME)
            self.looks.append(now())
        return copy.deepcopy(self.objects[OBJECTS[resource.plural]])

    async def create(self, resource, namespace, obj):
        await asyncio.sleep(0)
        if self.objects["secret"] is not None:
            raise ConflictError(409, "AlreadyExists", "it exists")
        self.put("secret", copy.deepcopy(obj))

    async def replace(self, resource, namespace, obj):
        await asyncio.sleep(0)
        if self.objects["secret"]["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "changed")
        self.put("secret", copy.deepcopy(obj))

    async def patch(self, resource, namespace, name, patch, *, kind):
        await asyncio.sleep(0)
        obj = copy.deepcopy(self.objects["configuration"])
        test, *adds = patch
        if test["value"] != obj["metadata"]["resourceVersion"]:
            raise ApiError(422, "Invalid", "the server rejected our request")
        for operation in adds:
            obj["webhooks"][int(operation["path"].split("/")[2])]["clientConfig"]["caBundle"] = operation["value"]
        self.writes.append(now())
        self.put("configuration", obj)

    async def watch(self, resource, namespace, resource_version, *, labels="", fields=""):
        assert resource_version == ""
        assert fields in (f"metadata.name={NAME}", f"metadata.name={names.WEBHOOK_CONFIGURATION}")
        self.watches.append(now())
        if self.blind:
            raise self.blind
        if self.ends is not None:
            await asyncio.sleep(self.ends)
            return
        queue = asyncio.Queue()
        self._queues.append((OBJECTS[resource.plural], queue))
        while True:
            yield await queue.get()


class Stand:
    """An issuer on a store, and the pairs that it has served."""

    def __init__(self, store):
        self.store = store
        self.used = []
        self.metrics = Metrics()
        clock = lambda: BEGIN + datetime.timedelta(seconds=now())  # noqa: E731
        self.issuer = Issuer(
            store, NAMESPACE, NAME, Mint(("a.svc",)), self.used.append, self.metrics, clock, settle=60.0
        )

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"coalmine_webhook_{name}", labels)

    async def for_seconds(self, seconds, meanwhile=None):
        running = asyncio.ensure_future(self.issuer.run())
        if meanwhile is not None:
            await self.issuer.loaded.wait()
            await asyncio.sleep(30)
            meanwhile()
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_the_first_start():
    async def story():
        stand = Stand(Store(configuration(None, None)))
        assert stand.issuer.unready() == f"no certificate yet: see the log about Secret {NAMESPACE}/{NAME}"
        await stand.issuer.look()
        assert stand.issuer.unready() == ""
        contents = secret.decode(stand.store.objects["secret"])
        assert stand.used == [contents.serving]
        assert registration.read(stand.store.objects["configuration"]).everywhere == {contents.authority.certificate}
        assert stand.store.objects["configuration"]["webhooks"][0]["failurePolicy"] == "Fail"
        life = 90 * 86400
        end = (BEGIN + datetime.timedelta(seconds=now())).timestamp() + life
        assert stand.sample("certificate_expiry_timestamp_seconds", certificate="serving") == pytest.approx(end, abs=2)
        assert stand.sample("certificate_expiry_timestamp_seconds", certificate="authority") > end
        assert (stand.sample("certificate_renewals_total"), stand.sample("ca_bundle_writes_total")) == (1, 1)
        await stand.issuer.look()
        assert (stand.sample("certificate_renewals_total"), stand.sample("ca_bundle_writes_total")) == (1, 1)

    run(story())


def test_before_there_is_a_configuration_it_says_so_once(caplog):
    async def story():
        stand = Stand(Store())
        await stand.for_seconds(100)
        assert len(stand.used) == 1, "there is nobody yet who could refuse it"
        assert stand.issuer.unready().startswith("the MutatingWebhookConfiguration coalmine does not name")
        stand.store.put("configuration", configuration(None))
        await stand.issuer.look()
        assert stand.issuer.unready() == ""

    run(story())
    assert caplog.text.count("there is no MutatingWebhookConfiguration coalmine: waiting for it") == 1


@pytest.mark.parametrize("blind", [None, ApiError(403, "Forbidden", "no watch for you")])
def test_a_bundle_that_somebody_empties_is_written_again(blind):
    """At once where it may watch, at the next look where it may not."""
    store = Store(configuration(None))
    store.blind = blind
    emptied = []

    def empty():
        store.put("configuration", configuration(None))
        emptied.append(now())

    async def story():
        stand = Stand(store)
        await stand.for_seconds(2 * POLL, empty)
        assert store.bundles() != [None]
        assert store.writes[-1] - emptied[0] <= (POLL if blind else 0.1)
        assert len(stand.used) == 1

    run(story())


@pytest.mark.parametrize(("blind", "between"), [(None, 0.1), (ApiError(403, "Forbidden", "no watch for you"), POLL)])
def test_after_its_end_a_watch_begins_again_at_once_and_after_an_error_later(blind, between):
    async def story():
        store = Store(configuration(None))
        store.ends, store.blind = 240.0, blind
        await Stand(store).for_seconds(1000)
        begun = store.watches[::2]  # there are two, which begin and end together
        length = 0 if blind else 240
        assert [b - a - length for a, b in itertools.pairwise(begun)] == pytest.approx([between] * (len(begun) - 1))
        assert len(begun) > 4

    run(story())


def test_who_writes_another_one_each_time_is_not_fought_at_the_speed_of_a_watch():
    async def story():
        store = Store(configuration(None))
        plain = store.put

        def put(which, obj):
            plain(which, obj)
            if which == "configuration" and obj["webhooks"][0]["clientConfig"].get("caBundle") != "other":
                plain(which, configuration("other"))

        store.put = put
        stand = Stand(store)
        await stand.for_seconds(60)
        assert 3 <= len(store.writes) <= 3 * 10, "a few each time, and each time twice as late, to ten seconds"
        assert stand.sample("certificate_failures_total") > 0

    run(story())


def test_what_fails_is_counted_and_tried_again(caplog):
    async def story():
        stand = Stand(Store(configuration(None)))
        stand.store.refuse = ApiError(0, "Unreachable", "the API server cannot be reached")
        running = asyncio.ensure_future(stand.issuer.run())
        await asyncio.sleep(60)
        failures = stand.sample("certificate_failures_total")
        assert 5 <= failures <= 12, "twice as long each time, to ten seconds"
        stand.store.refuse = None
        await stand.issuer.loaded.wait()
        stand.store.refuse = ApiError(403, "Forbidden", "secrets is forbidden")
        await asyncio.sleep(60)
        assert stand.issuer.unready() == "", "what is served still is"
        assert stand.sample("certificate_failures_total") > failures
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with caplog.at_level(logging.DEBUG):
        run(story())
    assert "certificates: the API server cannot be reached" in caplog.text
    assert "PRIVATE" not in caplog.text


def test_a_secret_that_holds_no_authority_is_filled_and_nothing_else_of_it_is_touched(caplog):
    async def story():
        stand = Stand(Store(configuration(None)))
        metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {"team": "a"}, "annotations": {"x": "y"}}
        stand.store.put("secret", {"metadata": metadata, "data": {"ca.crt": "eA==", "mine": "eQ=="}, "type": "Opaque"})
        await stand.issuer.look()
        found = stand.store.objects["secret"]
        assert found["metadata"]["labels"] == {"team": "a"}
        assert found["metadata"]["annotations"]["x"] == "y"
        assert found["data"]["mine"] == "eQ=="
        assert base64.b64decode(found["data"]["tls.key"]) == stand.used[0].key

    with caplog.at_level(logging.DEBUG):
        run(story())
    assert "PRIVATE" not in caplog.text


def test_a_pair_that_cannot_be_served_is_told_of_and_the_one_before_stays():
    async def story():
        stand = Stand(Store(configuration(None)))
        await stand.issuer.look()
        before = stand.issuer.served
        contents = secret.decode(stand.store.objects["secret"])
        other = Mint(("a.svc",)).serving(contents.authority, BEGIN + datetime.timedelta(seconds=now()))
        stand.store.put("secret", secret.encode(stand.store.objects["secret"], replace(contents, serving=other)))

        def refuse(pair):
            raise ValueError("the certificate cannot be served: EE_KEY_TOO_SMALL")

        stand.issuer._use = refuse
        with pytest.raises(RemoteError, match=f"Secret {NAMESPACE}/{NAME}: the certificate cannot be served"):
            await stand.issuer.look()
        assert stand.issuer.served == before

    run(story())


def test_a_namespace_that_is_not_there_is_told_of():
    async def story():
        stand = Stand(Store(configuration(None)))

        async def create(resource, namespace, obj):
            raise NotFoundError(404, "NotFound", 'namespaces "coalmine-system" not found')

        stand.store.create = create
        with pytest.raises(RemoteError, match='namespaces "coalmine-system" not found'):
            await stand.issuer.look()

    run(story())


def test_two_that_never_agree_are_told_of():
    async def story():
        stand = Stand(Store(configuration(None)))
        plain = stand.store.find

        async def find(resource, namespace, name):
            found = await plain(resource, namespace, name)
            if found is not None and resource is SECRETS:
                stand.store.put("secret", None)
            return found

        stand.store.find = find
        with pytest.raises(RemoteError, match="change faster than they can be brought together"):
            await stand.issuer.look()

    run(story())
