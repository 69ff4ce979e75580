"""The server on a real TLS connection over loopback, with a reader in the API server's place."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
import json
import logging
import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from coalmine.kube.verbs import NotFoundError, Verbs
from coalmine.model import names
from coalmine_webhook import lookup
from coalmine_webhook.certificates import Mint
from coalmine_webhook.health import observing
from coalmine_webhook.intake import Intake
from coalmine_webhook.journal import JsonLines
from coalmine_webhook.metrics import Metrics
from coalmine_webhook.review import MAX_REVIEW
from coalmine_webhook.server import InFlight, Reviews, application
from coalmine_webhook.sidecar import Settings
from coalmine_webhook.tls import Context

STEPS = "steps:\n- setWeight: 20\n"


class Cluster:
    """What the look-ups find: objects by plural and name; None never answers."""

    def __init__(self, objects=()):
        self.objects = dict(objects)

    async def get(self, resource, namespace, name, subresource=None):
        found = self.objects.get((resource.plural, name), "absent")
        if found is None:
            await asyncio.Event().wait()
        if found == "absent":
            raise NotFoundError(404, "NotFound", f"{name} not found")
        return found


@contextlib.asynccontextmanager
async def serving(cluster, reviews=None, metrics=None, ending=lambda: False, intake=None):
    """A session with the server; it keeps its connections."""
    now, mint, tls = datetime.now(UTC), Mint((), ("127.0.0.1",)), Context()
    authority = mint.authority(now)
    tls.use(mint.serving(authority, now))
    reviews = reviews or Reviews(cluster, Settings("coalmine:test"))
    app = application(reviews, metrics or Metrics(), InFlight(), ending=ending, intake=intake)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.ssl).start()
        trust = ssl.create_default_context(cadata=authority.certificate.decode())
        connector = aiohttp.TCPConnector(ssl=trust)
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(url, connector=connector) as session:
            yield session
        await asyncio.sleep(0)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def observed(metrics, unready):
    runner = web.AppRunner(observing(metrics, unready), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()


def framed(obj, **request):
    fields = {"uid": "u1", "operation": "CREATE", "namespace": "shop", "object": obj, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": fields}


def pod():
    return {
        "metadata": {
            "generateName": "web-abc-",
            "labels": {names.SIDECAR_LABEL: "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}],
        },
        "spec": {"containers": [{"name": "app", "image": "a", "ports": [{"name": "web", "containerPort": 5000}]}]},
    }


async def ask(session, path, review):
    async with session.post(path, json=review) as response:
        assert response.status == 200
        return (await response.json())["response"]


def patch_of(response):
    return json.loads(base64.b64decode(response["patch"]))


def is_canary(response):
    added = next(op for op in patch_of(response) if op["path"] == "/spec/initContainers")
    return "--canary" in added["value"][0]["args"]


def test_the_three_reviews(new_deployment):
    async def scenario():
        claim = {"spec": {"accessModes": ["ReadWriteOnce"]}}
        stable = {"metadata": {"annotations": {}}}
        cluster = Cluster({("replicasets", "web-abc"): stable, ("persistentvolumeclaims", "data"): claim})
        metrics = Metrics()
        async with serving(cluster, metrics=metrics) as session:
            good = await ask(session, "/deployments", framed(new_deployment(canary=STEPS)))
            assert (good["uid"], good["allowed"], good["patchType"]) == ("u1", True, "JSONPatch")

            bad = await ask(session, "/deployments", framed(new_deployment(canary="steps: 7")))
            assert not bad["allowed"]
            assert bad["status"]["reason"] == "BadAnnotation"

            shared = new_deployment(canary=STEPS)
            shared["spec"]["template"]["spec"]["volumes"] = [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            ]
            refused = await ask(session, "/deployments", framed(shared))
            assert refused["status"]["reason"] == "ReadWriteOnceVolume"

            status = await ask(session, "/deployments-status", framed(new_deployment(), operation="UPDATE"))
            assert status == {"uid": "u1", "allowed": True}

            assert not is_canary(await ask(session, "/pods", framed(pod())))
            stable["metadata"]["annotations"][names.ROLE] = names.ROLE_CANARY
            assert is_canary(await ask(session, "/pods", framed(pod())))
            del cluster.objects["replicasets", "web-abc"]
            assert is_canary(await ask(session, "/pods", framed(pod())))

            for path in ("/healthz", "/metrics"):
                async with session.get(path) as response:
                    assert response.status == 404, "reviews alone are served here"
        count = metrics.registry.get_sample_value
        labels = {"code": "BadAnnotation", "resource": "deployments"}
        assert count("coalmine_webhook_reviews_total", labels) == 1.0
        labels = {"code": "SidecarInjected", "resource": "pods"}
        assert count("coalmine_webhook_reviews_total", labels) == 3.0
        assert count("coalmine_webhook_review_seconds_count", {"resource": "pods"}) == 3.0

    asyncio.run(scenario())


def test_what_is_no_review():
    async def scenario():
        async with serving(Cluster()) as session:
            async with session.post("/pods", data=b"{}", headers={"Content-Type": "application/json"}) as response:
                assert (response.status, await response.text()) == (
                    400,
                    "the body is no AdmissionReview of admission.k8s.io/v1\n",
                )
            async with session.post("/pods", data=b"{}", headers={"Content-Type": "text/plain"}) as response:
                assert response.status == 415
            async with session.get("/pods") as response:
                assert response.status == 405
            headers = {"Content-Type": "application/json"}
            async with session.post("/pods", data=io.BytesIO(b" " * (MAX_REVIEW + 1)), headers=headers) as response:
                assert response.status == 413

    asyncio.run(scenario())


def test_our_bug_refuses_a_deployment_and_stops_no_pod(new_deployment, caplog):
    class Broken:
        async def fail(self, _review):
            raise RuntimeError("the secret of the object")

        deployments = status = pods = fail

    async def scenario():
        async with serving(Cluster(), Broken()) as session:
            answer = await ask(session, "/deployments", framed(new_deployment()))
            assert not answer["allowed"]
            assert answer["status"]["message"].startswith("Coalmine's webhook failed on this object (RuntimeError)")
            assert "secret" not in json.dumps(answer)
            for path in ("/pods", "/deployments-status"):
                async with session.post(path, json=framed(pod())) as response:
                    assert response.status == 500
                    assert "Traceback" not in await response.text()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert "review failed" in caplog.text


def test_one_json_line_for_a_decision_and_none_for_nothing(new_deployment, caplog):
    async def scenario():
        async with serving(Cluster()) as session:
            await ask(session, "/deployments", framed(new_deployment(canary=None)))
            await ask(
                session,
                "/deployments",
                framed(new_deployment(canary=STEPS), userInfo={"username": "alice"}, dryRun=True),
            )

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    lines = [json.loads(JsonLines().format(r)) for r in caplog.records if r.name == "coalmine_webhook.server"]
    (line,) = lines
    assert line["event"] == "review"
    assert (line["namespace"], line["name"], line["user"], line["dryRun"]) == ("shop", "web", "alice", True)
    assert "app:1" not in json.dumps(line)


def test_a_look_up_that_is_late_is_an_unknown():
    cluster = Cluster(
        {("replicasets", "web-abc"): None, ("persistentvolumeclaims", "b"): {"spec": {"accessModes": ["X"]}}}
    )

    async def scenario():
        assert await lookup.owner(cluster, "shop", "web-abc", limit=0) is None
        assert await lookup.owner(cluster, "shop", "gone") is None
        assert await lookup.access_modes(cluster, "shop", ["a", "b"]) == {"b": ("X",)}

    asyncio.run(scenario())


class Unending:
    """A body whose end does not come, and the moment at which all that there is has been read."""

    def __init__(self, size):
        self.size = size
        self.sent, self.end = asyncio.Event(), asyncio.Event()

    async def __aiter__(self):
        yield b" " * self.size
        self.sent.set()
        await self.end.wait()


async def until(true):
    while not true():  # noqa: ASYNC110  the server tells nobody
        await asyncio.sleep(0)


async def unannounced(body):
    """In pieces, and without a Content-Length."""
    for begin in range(0, len(body), 1 << 16):
        yield body[begin : begin + (1 << 16)]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("announced", [{}, {"Content-Length": "600"}], ids=["chunked", "announced"])
def test_a_body_that_does_not_come_is_let_go_of(announced):
    async def scenario():
        intake = Intake(deadline=0.05, budget=1000)
        async with serving(Cluster(), intake=intake) as session:
            body = Unending(500)
            async with session.post("/pods", data=aiter(body), headers=JSON | announced) as response:
                assert (response.status, await response.text()) == (408, "the body did not come within 0.05 s\n")
            assert intake.left == 1000

    asyncio.run(scenario())


@pytest.mark.parametrize("announced", [{}, {"Content-Length": "700"}], ids=["chunked", "announced"])
def test_all_bodies_together_are_bounded_and_the_next_is_asked_to_come_again(announced, new_deployment):
    review = framed(new_deployment(canary=STEPS))
    budget = len(json.dumps(review)) + 400

    async def scenario():
        intake = Intake(deadline=60.0, budget=budget)
        async with serving(Cluster(), intake=intake) as session:
            body = Unending(600)
            posting = asyncio.ensure_future(session.post("/pods", data=aiter(body), headers=JSON | announced))
            await body.sent.wait()
            await until(lambda: intake.left != budget)
            assert intake.left == budget - int(announced.get("Content-Length", 600))
            text = json.dumps(review).encode()
            for data in (text, unannounced(text)):
                async with session.post("/deployments", data=data, headers=JSON) as response:
                    assert response.status == 503
                    assert await response.text() == "too many bytes of other reviews are coming in: ask again\n"
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
            await until(lambda: intake.left == budget)
            assert (await ask(session, "/deployments", review))["allowed"]
            assert intake.left == budget

    asyncio.run(scenario())


def test_a_body_counts_by_what_it_is_unpacked(new_deployment):
    async def scenario():
        intake = Intake(budget=MAX_REVIEW)
        packed = gzip.compress(b" " * (MAX_REVIEW + 1))
        async with serving(Cluster(), intake=intake) as session:
            headers = JSON | {"Content-Encoding": "gzip"}
            async with session.post("/pods", data=packed, headers=headers) as response:
                assert response.status == 413
            assert intake.left == MAX_REVIEW

    asyncio.run(scenario())


def test_a_review_of_the_largest_size_is_read():
    review = json.dumps(framed(pod())).encode().ljust(MAX_REVIEW)

    async def scenario():
        async with serving(Cluster()) as session:
            for data in (io.BytesIO(review), unannounced(review)):
                async with session.post("/pods", data=data, headers=JSON) as response:
                    assert (await response.json())["response"]["allowed"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "name", ["../../victim/persistentvolumeclaims/data", "..", ".\t.", "a/b", "", "data?x", "%2e%2e"]
)
def test_a_name_that_leads_elsewhere_is_an_unknown_and_is_not_asked_for(name):
    class Carrier(Verbs):
        def __init__(self):
            self.asked = []

        async def _json(self, method, path, body=None, **_):
            self.asked.append(path)
            return {"spec": {"accessModes": ["ReadWriteOnce"]}}

        def _events(self, path, query):
            raise AssertionError

    async def scenario():
        carrier = Carrier()
        assert await lookup.access_modes(carrier, "shop", [name, "data"]) == {"data": ("ReadWriteOnce",)}
        assert await lookup.owner(carrier, "shop", name) is None
        assert carrier.asked == ["/api/v1/namespaces/shop/persistentvolumeclaims/data"]

    asyncio.run(scenario())


def test_metrics_and_health():
    async def scenario():
        reason = "no certificate yet"
        async with observed(Metrics(), lambda: reason) as session:
            for path, status, words in (
                ("/healthz", 200, "ok\n"),
                ("/readyz", 503, "no certificate yet\n"),
                ("/pods", 404, "404: Not Found"),
            ):
                async with session.get(path) as response:
                    assert (response.status, await response.text()) == (status, words)
            reason = ""
            async with session.get("/readyz") as response:
                assert (response.status, await response.text()) == (200, "ok\n")
            async with session.get("/metrics") as response:
                assert response.content_type == "text/plain"
                assert "coalmine_webhook_certificate_failures_total 0.0" in await response.text()

    asyncio.run(scenario())


def test_at_the_end_each_answer_asks_to_connect_elsewhere(new_deployment):
    async def scenario():
        ending = False
        async with serving(Cluster(), ending=lambda: ending) as session:
            for ending, said in ((False, None), (True, "close")):  # noqa: B007  what the server asks for
                async with session.post("/deployments", json=framed(new_deployment(canary=STEPS))) as response:
                    assert response.status == 200
                    assert response.headers.get("Connection") == said

    asyncio.run(scenario())
