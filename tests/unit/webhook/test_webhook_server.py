"""The server on a real TLS connection over loopback, with a reader in the API server's place."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import ssl
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from coalmine.kube.verbs import NotFoundError
from coalmine.model import names
from coalmine_webhook import lookup
from coalmine_webhook.certificates import Mint
from coalmine_webhook.health import observing
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
async def serving(cluster, reviews=None, metrics=None, ending=lambda: False):
    """A session with the server; it keeps its connections."""
    now, mint, tls = datetime.now(UTC), Mint((), ("127.0.0.1",)), Context()
    authority = mint.authority(now)
    tls.use(mint.serving(authority, now))
    reviews = reviews or Reviews(cluster, Settings("coalmine:test"))
    runner = web.AppRunner(application(reviews, metrics or Metrics(), InFlight(), ending=ending), access_log=None)
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
